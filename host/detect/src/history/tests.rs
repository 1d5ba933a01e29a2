//! Revisions of policies and when they were in force.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::evaluate::{Evaluator, EvaluatorOptions};
use crate::group::Group;
use crate::testing::{Act, MemoryStore, batch, group, tenant};

const MASS: &str = "\
policy: mass
title: Mass export
severity: high
when: [{field: kind, is: export}]
repeat: {count: 3, within: 5m, by: actor}
alert: {group: [actor], quiet: 20m}
";
const PUBLISHED: &str = "\
policy: published
title: Published
severity: low
when: [{field: kind, is: publish}]
";
const LONG: Duration = Duration::from_secs(60);

fn origins(of: &[(&str, &str, &str)]) -> Arc<Origins> {
    let origin = |who: &str, why: &str| Origin { who: who.to_owned(), why: why.to_owned() };
    Arc::new(of.iter().map(|(name, who, why)| ((*name).to_owned(), origin(who, why))).collect())
}

/// Policy, revision of a text, from where on, whether it is in force, and who ended it.
fn told(store: &MemoryStore, texts: &[(&str, &str)]) -> Vec<String> {
    let name = |revision: &str| {
        let known =
            texts.iter().find(|(_, text)| group(&[text]).policies()[0].revision == revision);
        known.map_or("?", |(name, _)| name).to_owned()
    };
    reigns(store, &tenant(), None)
        .unwrap()
        .iter()
        .map(|reign| {
            let ended = reign.ended.as_ref().map(|by| format!(" ended by {}", by.who));
            format!(
                "{} {} from {} by {}: {}{}{}",
                reign.began.policy,
                name(&reign.began.revision),
                reign.began.from,
                reign.began.who,
                reign.began.why,
                if reign.until.is_some() { ", no more" } else { "" },
                ended.unwrap_or_default(),
            )
        })
        .collect()
}

/// Every revision that ran is told with from where on, who and why; its text is kept; one that only
/// lay in a folder is not.
#[test]
fn what_ran_is_kept_with_who_and_why() {
    let store = MemoryStore::new();
    let act = |n: usize| Act { number: n, ..Act::new(n as i64, "ana", "export", n as u8) };
    store.append(batch(&[act(0), act(1)]));
    let retitled = MASS.replace("Mass export", "Many exports");
    let first = group(&[MASS, PUBLISHED])
        .with_origins(origins(&[("mass", "ana", "begin"), ("published", "bo", "begin")]));
    let second = group(&[&retitled])
        .with_origins(origins(&[("mass", "eve", "clearer"), ("published", "eve", "noise")]));
    let evaluator = Evaluator::start(
        Arc::clone(&store) as _,
        tenant(),
        vec![first.clone()],
        EvaluatorOptions::default(),
    )
    .unwrap();
    assert!(evaluator.wait_caught_up(LONG));
    evaluator.replace(vec![second], &Arc::default()).unwrap();
    assert!(evaluator.wait_replaced(LONG));
    evaluator.stop();
    // Nothing has changed: another start is nothing to tell.
    let evaluator = Evaluator::start(
        Arc::clone(&store) as _,
        tenant(),
        vec![group(&[&retitled])],
        EvaluatorOptions::default(),
    )
    .unwrap();
    store.append(batch(&[act(2)]));
    assert!(evaluator.wait_caught_up(LONG));
    evaluator.replace(Vec::new(), &origins(&[("mass", "zoe", "enough")])).unwrap();
    assert!(evaluator.wait_replaced(LONG));
    evaluator.stop();

    insta::assert_snapshot!(
        told(&store, &[("old", MASS), ("new", &retitled), ("only", PUBLISHED)]).join("\n"),
        @"
    mass old from 1 by ana: begin, no more
    published only from 1 by bo: begin, no more ended by eve
    mass new from 3 by eve: clearer, no more ended by zoe
    "
    );
    let revision = &first.policies()[0].revision;
    let (whole, kept) = text(store.as_ref(), &tenant(), "mass", &revision[..6]).unwrap();
    assert_eq!((&whole, kept.as_str()), (revision, MASS));
    let unknown = text(store.as_ref(), &tenant(), "mass", "feedbeef").unwrap_err();
    insta::assert_snapshot!(unknown, @"
    no revision `feedbeef` of policy `mass` was ever in force
    hint: `casbah policy history mass` shows those that were
    ");
    let any = text(store.as_ref(), &tenant(), "mass", "").unwrap_err();
    assert_eq!(any.kind(), DetectErrorKind::Ambiguous);
}

/// A group that is not there any more at the next start has ended; nobody has to have looked.
#[test]
fn what_is_not_started_again_has_ended() {
    let store = MemoryStore::new();
    let options = EvaluatorOptions::default;
    let start = |groups: Vec<Group>| {
        let evaluator =
            Evaluator::start(Arc::clone(&store) as _, tenant(), groups, options()).unwrap();
        assert!(evaluator.wait_caught_up(LONG));
        evaluator.stop();
    };
    store.append(batch(&[Act::new(0, "ana", "export", 1)]));
    start(vec![group(&[MASS])]);
    start(Vec::new());
    start(Vec::new());
    let happened = || -> Vec<&'static str> {
        let events = events(store.as_ref(), &tenant(), Some("mass")).unwrap();
        events.iter().map(|event| event.happened.name()).collect()
    };
    assert_eq!(happened(), ["began", "ended"]);
    // What is stopped before it has begun has not been in force.
    store.append(batch(&[Act::new(1, "ana", "export", 2)]));
    start(vec![group(&[MASS])]);
    assert_eq!(happened(), ["began", "ended", "began"]);
}
