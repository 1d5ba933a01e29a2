//! The made-up company: the same for a seed, the same people as elsewhere, and incidents as labelled.

use std::collections::{BTreeMap, BTreeSet};

use netdocuments_sim::{Addresses, Form, Log, Plan, Plant, Record, Shape, What, World};
use proptest::prelude::*;

fn text(world: &World) -> String {
    let mut out = String::new();
    for log in [Log::Consolidated, Log::Admin] {
        for place in world.all(log) {
            world.write(&mut out, place, Form::Json, Shape::Bare);
            out.push('\n');
        }
    }
    out
}

#[test]
fn a_seed_gives_the_same_bytes_and_the_people_of_the_others() {
    let plan = Plan::small(5_000);
    let world = World::new(&plan);
    assert_eq!(world.len(), 5_000);
    assert_eq!(text(&world), text(&World::new(&plan)));
    let company = smartsheet_sim::Company::new(&plan.company);
    let emails = |company: &smartsheet_sim::Company| {
        company.users.iter().map(|user| user.email.clone()).collect::<Vec<_>>()
    };
    assert_eq!(emails(world.company()), emails(&company));
    let mut other = plan.clone();
    other.company.seed = 8;
    assert_ne!(text(&World::new(&other)), text(&world));
}

#[test]
fn every_incident_is_there_as_labelled() {
    let world = World::new(&Plan::default());
    let company = world.company();
    let (incidents, all) = (world.incidents(), text(&world));
    assert_eq!(incidents.len(), What::ALL.len());
    let names: BTreeSet<&str> = incidents.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names.len(), incidents.len(), "names are different");
    let actors: BTreeSet<&str> = incidents.iter().map(|one| one.actor.as_str()).collect();
    assert_eq!(actors.len(), incidents.len(), "nobody does two of them");
    for (incident, what) in incidents.iter().zip(What::ALL) {
        assert_eq!(incident.benign, what.benign(), "{}", incident.name);
        let inside = company.start()..company.plan.end;
        assert!(inside.contains(&incident.start) && inside.contains(&incident.end));
        let found = world
            .records()
            .filter(|record| record.actor == incident.actor)
            .filter(|record| (incident.start..=incident.end).contains(&record.time))
            .count();
        assert!(found >= incident.acts && incident.acts > 0, "{}: {found}", incident.name);
        for address in &incident.addresses {
            assert!(all.contains(address.as_str()), "{}: {address}", incident.name);
        }
    }
}

/// What is given is used: actor, time, address and strength.
#[test]
fn plants_are_planted_as_asked() {
    let mut plan = Plan::small(3_000);
    let company = smartsheet_sim::Company::new(&plan.company);
    let actor =
        company.users.iter().find(|user| user.role == smartsheet_sim::Role::Manager).unwrap();
    let start = plan.company.end - 7_200_000;
    plan.plants = vec![Plant {
        actor: Some(actor.email.to_uppercase()),
        start: Some(start),
        address: Some("81.2.69.142".to_owned()),
        count: Some(33),
        ..Plant::new(What::MassDownload)
    }];
    let world = World::new(&plan);
    let [incident] = world.incidents() else { panic!("one was planted") };
    assert_eq!((incident.acts, incident.start), (33, start));
    assert_eq!(incident.actor, actor.email.to_lowercase());
    assert_eq!(text(&world).matches("81.2.69.142").count(), 33);
}

/// No detection's incident happens by itself: nobody else comes near what is planted, in any hour.
#[test]
fn normal_work_has_no_incidents() {
    let plan = Plan { plants: Vec::new(), ..Plan::default() };
    let world = World::new(&plan);
    let mut hours: BTreeMap<(&str, String, i64), usize> = BTreeMap::new();
    for Record { name, actor, time, .. } in world.records() {
        *hours.entry((name, actor, time / 3_600_000)).or_default() += 1;
    }
    let most = |name: &str| {
        hours.iter().filter(|((other, ..), _)| *other == name).map(|(_, n)| *n).max().unwrap_or(0)
    };
    assert!(most("download") < 30, "{}", most("download"));
    assert!(most("delete") < 20, "{}", most("delete"));
    assert!(most("deliver a secured link") < 10, "{}", most("deliver a secured link"));
    let strange = Addresses::default();
    let all = text(&world);
    for address in [strange.far, strange.travel, strange.anonymous, strange.suspicious] {
        assert!(!all.contains(&address), "{address}");
    }
}

#[test]
fn records_come_in_all_their_varieties() {
    let world = World::new(&Plan::default());
    let all = text(&world);
    for part in [
        "\"desc\": ",
        "\"description\": ",
        "\"memberType\": \"External\"",
        "\"collabSpace\"",
        "\"TypeofEngagement\"",
        "app-server-3",
        "\"id\": \"\"",
        "lock document",
        "ndfld",
        "\\\"Harbour",
    ] {
        assert!(all.contains(part), "{part}");
    }
    let lines: Vec<&str> = all.lines().collect();
    let different: BTreeSet<&&str> = lines.iter().collect();
    let repeats = lines.len() - different.len();
    assert!(repeats > 500, "{repeats} true repeats");
    let weekend = |time: i64| (time.div_euclid(86_400_000) + 3).rem_euclid(7) >= 5;
    let (off, on): (Vec<Record>, Vec<Record>) =
        world.records().partition(|record| weekend(record.time));
    assert!(off.len() * 5 < on.len(), "{} at the weekend, {} in the week", off.len(), on.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Any record is sound JSON and sound XML, whatever the seed.
    #[test]
    fn records_are_sound(seed in any::<u32>()) {
        let mut plan = Plan::small(400);
        plan.company.seed = u64::from(seed);
        let world = World::new(&plan);
        for place in world.all(Log::Consolidated).into_iter().chain(world.all(Log::Admin)) {
            let (mut json, mut xml) = (String::new(), String::new());
            world.write(&mut json, place, Form::Json, Shape::Array);
            world.write(&mut xml, place, Form::Xml, Shape::Array);
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            prop_assert!(value["activity"]["date"].is_string());
            let mut reader = quick_xml::Reader::from_str(&xml);
            loop {
                if let quick_xml::events::Event::Eof = reader.read_event().unwrap() {
                    break;
                }
            }
        }
    }
}
