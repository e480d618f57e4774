//! Content policies made ready: lists of words are read, patterns compiled, moderators given what they need.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::fleet::Fleet;
use super::ledger::Ledger;
use super::moderator::HttpModerator;
use super::secrets::{secret, unwise};
use crate::config::place::{Fault, Way, Weight};
use crate::config::plan::{DenyPlan, ModeratorPlan, Plan, PolicyPlan};
use crate::metrics::Metrics;
use crate::names::PolicyName;
use crate::rules::content::{Flaw, Matcher, Moderation, Pattern, Policy, Standing};

/// The largest file of words that is read, in bytes.
const MAX_FILE: u64 = 16 * 1024 * 1024;
/// More ways to go on behind one beginning make a text that repeats it slow to look through.
const MAX_WAYS: usize = 256;
/// Of the lines of one file that cannot be used, so many are told.
const MAX_TOLD: usize = 20;

/// All policies, by their names.
pub type Policies = HashMap<PolicyName, Arc<Policy>>;

/// Makes the policies of a plan ready. What keeps one from it is added to `obstacles`, and what is unwise to the
/// other list.
pub fn policies(
    plan: &Plan,
    metrics: &Metrics,
    (fleet, ledger): (&Arc<Fleet>, &Ledger),
    obstacles: &mut Vec<Fault>,
    not_wise: &mut Vec<Fault>,
) -> Policies {
    let mut all = Policies::new();
    for plan in &plan.policies {
        let way = Way::to("policies").field(plan.name.as_str());
        let before = obstacles.len();
        let denied = denied(plan, &way, obstacles);
        let moderation = plan.moderator.as_ref().map(|of| {
            let standing = ledger.moderator(&plan.name);
            moderation(of, &way, fleet, standing, obstacles, not_wise)
        });
        if obstacles.len() > before {
            continue;
        }
        not_wise.extend(denied.as_ref().and_then(|denied| crowded(denied, &way)));
        if plan.moderator.is_some() {
            metrics.policies.has_moderator(plan.name.as_str());
        }
        let policy = Policy {
            name: plan.name.clone(),
            denied: denied.map(Arc::new),
            answers: plan.answers,
            max_prompt_tokens: plan.max_prompt_tokens,
            media: plan.media,
            moderation: moderation.flatten(),
        };
        all.insert(plan.name.clone(), Arc::new(policy));
    }
    all
}

fn denied(plan: &PolicyPlan, way: &Way, obstacles: &mut Vec<Fault>) -> Option<Matcher> {
    let way = way.clone().field("deny");
    let mut patterns = Vec::new();
    for (index, deny) in plan.deny.iter().enumerate() {
        let way = way.clone().item(index);
        let fault = |way, Flaw { wrong, mend }| Fault::obstacle(way, wrong, mend);
        match deny {
            DenyPlan::Regex(source) => match Pattern::regex(source) {
                Ok(pattern) => patterns.push(pattern),
                Err(flaw) => obstacles.push(fault(way, flaw)),
            },
            DenyPlan::Words(words) => {
                for (index, word) in words.iter().enumerate() {
                    match Pattern::word(word) {
                        Ok(pattern) => patterns.push(pattern),
                        Err(flaw) => obstacles.push(fault(way.clone().field("words").item(index), flaw)),
                    }
                }
            }
            DenyPlan::WordsFile(path) => match listed(path) {
                Ok(listed) => patterns.extend(listed),
                Err(flaws) => {
                    let way = way.field("words_file");
                    obstacles.extend(flaws.into_iter().map(|flaw| fault(way.clone(), flaw)));
                }
            },
        }
    }
    if patterns.is_empty() {
        return None;
    }
    Matcher::new(patterns)
        .map_err(|Flaw { wrong, mend }| obstacles.push(Fault::obstacle(way, wrong, mend)))
        .ok()
}

/// Expressions that begin alike and then part.
fn crowded(denied: &Matcher, way: &Way) -> Option<Fault> {
    let ways = denied.ways();
    (ways > MAX_WAYS).then(|| Fault {
        way: way.clone().field("deny"),
        wrong: format!(
            "has expressions that begin alike and go on in {ways} ways: texts that repeat such a beginning take \
             long to look through"
        ),
        mend: "write what stands between the beginning and the rest alike in all of them, such as .{0,40}".to_owned(),
        weight: Weight::Unwise,
    })
}

/// The words of a file: one a line, without blank lines and those that begin with `#`.
fn listed(path: &Path) -> Result<Vec<Pattern>, Vec<Flaw>> {
    let name = path.display();
    let flaw = |wrong: String, mend: &str| Flaw { wrong, mend: mend.to_owned() };
    let unread =
        |why: String| vec![flaw(format!("{name}: {why}"), "see to the file, its name and who may read it")];
    let text = read(path).map_err(unread)?;
    let (mut words, mut flaws) = (Vec::new(), Vec::new());
    for (line, number) in text.lines().zip(1_usize..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match Pattern::word(line) {
            Ok(word) => words.push(word),
            Err(Flaw { wrong, mend }) if flaws.len() < MAX_TOLD => {
                flaws.push(flaw(format!("{name}:{number}: {wrong}"), &mend));
            }
            Err(_) => {}
        }
    }
    if words.is_empty() && flaws.is_empty() {
        return Err(vec![flaw(format!("{name}: holds no word"), "write one a line, or remove this")]);
    }
    if flaws.is_empty() { Ok(words) } else { Err(flaws) }
}

fn read(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|why| why.to_string())?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|why| why.to_string())?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("it is larger than {MAX_FILE} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

fn moderation(
    plan: &ModeratorPlan,
    way: &Way,
    fleet: &Arc<Fleet>,
    standing: Arc<Standing>,
    obstacles: &mut Vec<Fault>,
    not_wise: &mut Vec<Fault>,
) -> Option<Moderation> {
    let way = way.clone().field("moderator").field("key");
    not_wise.extend(plan.key.as_ref().and_then(|key| unwise(key, way.clone())));
    let key = match plan.key.as_ref().map(secret).transpose() {
        Ok(key) => key,
        Err(unread) => {
            obstacles.push(unread.at(way));
            return None;
        }
    };
    match HttpModerator::new(plan, key.as_ref(), fleet) {
        Some(moderator) => {
            let moderator = Arc::new(moderator);
            Some(Moderation { moderator, media: plan.media, on_failure: plan.on_failure, standing })
        }
        None => {
            let wrong = "has bytes that cannot stand in a header";
            obstacles.push(Fault::obstacle(way, wrong, "put the plain key there"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::scratch::Scratch;

    fn listed_in(text: &str) -> Result<usize, Vec<String>> {
        let folder = Scratch::new();
        let path = folder.path().join("words.txt");
        std::fs::write(&path, text).unwrap();
        let folder = format!("{}/", folder.path().display());
        listed(&path)
            .map(|words| words.len())
            .map_err(|flaws| flaws.into_iter().map(|flaw| flaw.wrong.replace(&folder, "")).collect())
    }

    #[test]
    fn a_file_has_a_word_a_line() {
        assert_eq!(listed_in("one\r\n\n# two\n  three four  \n爆弾"), Ok(3));
        assert_eq!(listed_in("# nothing\n"), Err(vec!["words.txt: holds no word".to_owned()]));
        let long = "a".repeat(257);
        let told = vec![
            "words.txt:2: is longer than 256 characters".to_owned(),
            "words.txt:3: says nothing".to_owned(),
        ];
        assert_eq!(listed_in(&format!("one\n{long}\n\u{200b}\n")), Err(told));
        assert_eq!(listed_in(&"\u{200b}\n".repeat(1000)).map_err(|told| told.len()), Err(MAX_TOLD));
    }

    #[test]
    fn expressions_that_begin_alike_are_to_go_on_alike() {
        let told = |source: &dyn Fn(usize) -> String| {
            let patterns = (0..400).map(|n| Pattern::regex(&source(n)).unwrap()).collect();
            crowded(&Matcher::new(patterns).unwrap(), &Way::to("policies").field("p"))
                .map(|fault| fault.wrong)
        };
        assert_eq!(told(&|n| format!("secret.{{0,40}}plan{n}")), None);
        let told = told(&|n| format!("secret.{{0,{}}}plan", n + 1));
        assert!(told.is_some_and(|told| told.starts_with("has expressions that begin alike and go on in")));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_by_its_name() {
        let told = listed(Path::new("/nowhere/words.txt")).map(|_| ()).unwrap_err();
        assert!(told[0].wrong.starts_with("/nowhere/words.txt: "), "{told:?}");
        assert!(listed(Path::new("/")).is_err());
    }
}
