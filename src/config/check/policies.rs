//! The `policies:` section: what may be said to aliases, and by them.

mod deny;
mod moderator;

use std::ops::RangeInclusive;

use crate::config::at::{At, Named, every, one_of, truth};
use crate::config::complaint::{Complaints, Told};
use crate::config::form::{Field, Form, may};
use crate::config::naming::identifier;
use crate::config::plan::{Allowed, Answers, PolicyPlan};
use crate::config::units::whole;
use crate::names::PolicyName;

pub(super) const FIELDS: &[Field] = &[
    may("deny", Form::List(&deny::FORM, 0), "what must not be said"),
    may("on_response", Form::Truth, "whether answers are looked through as well"),
    may("max_prompt_tokens", Form::Whole(1, 1_000_000_000), "of a request, by estimate"),
    may(
        "modalities",
        Form::List(&Form::Words(&MODALITIES), 1),
        "what a message may be made of; all unless written",
    ),
    may("moderator", Form::Section(moderator::FIELDS), "a moderation service that is asked as well"),
];
const MODALITIES: [&str; 4] = ["text", "image", "audio", "file"];
const PROMPT_BOUNDS: RangeInclusive<u64> = 1..=1_000_000_000;

/// Reads the section.
pub(super) fn policies(at: &At<'_>, out: &mut Complaints) -> Result<Vec<PolicyPlan>, Told> {
    every(at.named(out)?.map(|named| policy(&named, out)))
}

fn policy(named: &Named<'_>, out: &mut Complaints) -> Result<PolicyPlan, Told> {
    let name = identifier(named, out);
    let fields = named.value.fields(FIELDS, out)?;
    if FIELDS.iter().all(|field| fields.get(field.name).is_none()) {
        // One that is misspelt has been complained about.
        fields.need("deny", "write what is forbidden, or remove the policy", out)?;
    }
    let screened = fields.or("on_response", false, out, truth);
    let answers = if screened == Ok(true) { Answers::Screened } else { Answers::Free };
    let deny = fields.or("deny", Vec::new(), out, |at, out| deny::deny(at, answers, out));
    let idle = match (fields.get("on_response"), &deny) {
        (Some(at), Ok(deny)) if screened == Ok(true) && deny.is_empty() => {
            let mend = "write `deny` next to it, or remove this";
            Err(at.complain(out, "has nothing to look for", mend))
        }
        (Some(_) | None, Ok(_) | Err(_)) => Ok(()),
    };
    let max_prompt_tokens =
        fields.or("max_prompt_tokens", None, out, |at, out| whole(at, PROMPT_BOUNDS, out).map(Some));
    let media = fields.or("modalities", Allowed::ALL, out, |at, out| modalities(at, &MODALITIES, out));
    let moderator = fields.or("moderator", None, out, |at, out| moderator::moderator(at, out).map(Some));
    screened?;
    idle?;
    Ok(PolicyPlan {
        name: PolicyName::new(name?),
        deny: deny?,
        answers,
        max_prompt_tokens: max_prompt_tokens?,
        media: media?,
        moderator: moderator?,
    })
}

/// Reads a list of some of these.
fn modalities(at: &At<'_>, all: &[&'static str], out: &mut Complaints) -> Result<Allowed, Told> {
    let known: Vec<_> = all.iter().map(|name| (*name, *name)).collect();
    let mut listed = Vec::new();
    every(at.items(out)?.map(|at| {
        let name = one_of(&at, "modality", &known, out)?;
        if listed.contains(&name) {
            return Err(at.complain(out, "is listed twice", "keep one of them"));
        }
        listed.push(name);
        Ok(())
    }))?;
    let has = |name: &str| listed.contains(&name);
    if !has("text") {
        return Err(at.complain(out, "leaves text out, which every conversation has", "add text"));
    }
    Ok(Allowed { image: has("image"), audio: has("audio"), file: has("file") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::{complaint, reading};

    fn read(text: &str) -> Result<PolicyPlan, Told> {
        reading(&format!("{{ p: {text} }}"), policies).map(|all| all[0].clone())
    }

    fn wrong(text: &str) -> String {
        complaint(&format!("{{ p: {text} }}"), policies)
    }

    #[test]
    fn there_need_be_no_policy() {
        assert_eq!(reading("{}", policies), Ok(Vec::new()));
    }

    #[test]
    fn what_is_not_written_forbids_nothing() {
        let expected = PolicyPlan {
            name: PolicyName::new("p"),
            deny: Vec::new(),
            answers: Answers::Free,
            max_prompt_tokens: Some(1),
            media: Allowed::ALL,
            moderator: None,
        };
        assert_eq!(read("{ max_prompt_tokens: 1 }"), Ok(expected));
        assert_eq!(wrong("{}"), "t:1:6: p.deny: is missing; write what is forbidden, or remove the policy");
    }

    #[test]
    fn a_modality_is_known_and_text_is_one() {
        let media = |text: &str| read(&format!("{{ modalities: {text} }}")).map(|policy| policy.media);
        assert_eq!(media("[text, image, audio, file]"), Ok(Allowed::ALL));
        assert_eq!(media("[image, text]"), Ok(Allowed { image: true, audio: false, file: false }));
        for bad in ["[]", "[image]", "[text, text]", "[text, video]", "text"] {
            assert!(media(bad).is_err(), "{bad}");
        }
        assert!(wrong("{ modalities: [text, images] }").ends_with("did you mean 'image'?"));
    }

    #[test]
    fn answers_are_looked_at_for_something() {
        assert_eq!(
            wrong("{ on_response: true }"),
            "t:1:21: p.on_response: has nothing to look for; write `deny` next to it, or remove this"
        );
        assert_eq!(
            read("{ on_response: true, deny: [a] }").map(|policy| policy.answers),
            Ok(Answers::Screened)
        );
        assert_eq!(read("{ on_response: false, deny: [a] }").map(|policy| policy.answers), Ok(Answers::Free));
    }

    #[test]
    fn prompts_have_a_bound_or_none() {
        for bad in ["0", "1000000001", "1e6", "~"] {
            assert!(read(&format!("{{ max_prompt_tokens: {bad} }}")).is_err(), "{bad}");
        }
    }
}
