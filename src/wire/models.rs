//! The answers of `GET /v1/models` and `GET /v1/models/{id}`.
//!
//! Promises the four members of the API, and two more where the operator wants them, in one order.
//! Never knows what stands behind an alias.

use bytes::Bytes;

use super::pen::Pen;

/// One alias as its tenant may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelCard<'a> {
    /// The alias.
    pub id: &'a str,
    /// Its name for people.
    pub display_name: &'a str,
    /// What it is good for.
    pub description: &'a str,
    /// `created` (seconds since 1970) and `owned_by`, for clients that insist on OpenAI's members.
    pub created_owned: Option<(u64, &'a str)>,
}

/// The body of the list, in the order of the cards.
pub fn list<'a>(cards: impl IntoIterator<Item = ModelCard<'a>>) -> Bytes {
    let mut pen = Pen::default();
    pen.raw(b"{\"object\":\"list\",\"data\":[");
    for card in cards {
        pen.comma();
        write(&mut pen, card);
    }
    pen.raw(b"]}");
    pen.into_bytes().into()
}

/// The body for one alias: its entry of the list.
pub fn one(card: ModelCard<'_>) -> Bytes {
    let mut pen = Pen::default();
    write(&mut pen, card);
    pen.into_bytes().into()
}

fn write(pen: &mut Pen, card: ModelCard<'_>) {
    pen.raw(b"{\"id\":");
    pen.string(card.id);
    pen.raw(b",\"object\":\"model\",\"display_name\":");
    pen.string(card.display_name);
    pen.raw(b",\"description\":");
    pen.string(card.description);
    if let Some((created, owner)) = card.created_owned {
        pen.raw(b",\"created\":");
        pen.integer(created);
        pen.raw(b",\"owned_by\":");
        pen.string(owner);
    }
    pen.raw(b"}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENERAL: ModelCard<'_> = ModelCard {
        id: "general",
        display_name: "General",
        description: "汎用的な業務向けアシスタント。",
        created_owned: None,
    };

    #[test]
    fn the_list_is_the_apis_example() {
        let secure = ModelCard {
            id: "secure",
            display_name: "Secure",
            description: "機密性の高い業務向けの厳格な構成。",
            created_owned: None,
        };
        assert_eq!(
            list([GENERAL, secure]),
            concat!(
                r#"{"object":"list","data":["#,
                r#"{"id":"general","object":"model","display_name":"General","description":"汎用的な業務向けアシスタント。"},"#,
                r#"{"id":"secure","object":"model","display_name":"Secure","description":"機密性の高い業務向けの厳格な構成。"}"#,
                r#"]}"#
            )
        );
        assert_eq!(list([]), r#"{"object":"list","data":[]}"#);
    }

    #[test]
    fn openais_two_members_come_last_and_only_on_demand() {
        assert_eq!(
            one(ModelCard {
                description: "a \"b\"",
                created_owned: Some((1_718_841_600, "acme")),
                ..GENERAL
            }),
            r#"{"id":"general","object":"model","display_name":"General","description":"a \"b\"","created":1718841600,"owned_by":"acme"}"#
        );
    }
}
