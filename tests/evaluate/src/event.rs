//! What somebody did, small enough to hold millions, and the batches that detectors see.

use casbah_model::{Batch, BatchBuilder};

use crate::company::Company;
use crate::place::Place;

/// Something somebody did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    /// Milliseconds since 1970.
    pub(crate) time: i64,
    pub(crate) received: i64,
    /// Place of the person in the company.
    pub(crate) who: u32,
    pub(crate) what: What,
    /// Number of the thing it was done to.
    pub(crate) object: u32,
    /// Where from, where the app says it.
    pub(crate) place: Option<Place>,
    /// Whose account was used instead of one's own.
    pub(crate) behalf: Option<u32>,
    /// What the directory says of the person, for news of it: state and since when.
    pub(crate) state: Option<(&'static str, i64)>,
    /// Number of a client or action that nobody else has; 0 for the usual one.
    pub(crate) strange: u32,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum What {
    View,
    Download,
    Share,
    Delete,
    Administer,
    RareAdministration,
    GrantAdmin,
    Impersonate,
    Send,
    HandOver,
    Login,
    FailedLogin,
    News,
}

/// How a kind of act looks in an activity: app, kind, action, kind of object.
fn words(what: What, who: u32) -> (&'static str, &'static str, &'static str, &'static str) {
    let documents = if who.is_multiple_of(2) { "netdocuments" } else { "smartsheet" };
    match what {
        What::View => (documents, "view", "open", "document"),
        What::Download => (documents, "download", "download", "document"),
        What::Share => (documents, "share", "share", "document"),
        What::Delete => (documents, "delete", "delete", "document"),
        What::Administer => (documents, "user-change", "change user", "user"),
        What::RareAdministration => (documents, "policy", "change retention", "policy"),
        What::GrantAdmin => (documents, "user-change", "grant administration", "user"),
        What::Impersonate => (documents, "view", "open as", "document"),
        What::Send => (documents, "send", "mail", "document"),
        What::HandOver => (documents, "ownership", "give ownership", "document"),
        What::Login | What::FailedLogin => ("entra", "login", "sign in", "other"),
        What::News => ("entra", "account-state", "directory", "user"),
    }
}

/// A batch of events in this order.
pub(crate) fn batch(company: &Company, events: &[Event]) -> Batch {
    let mut builder = BatchBuilder::new();
    for event in events {
        row(&mut builder, company, event);
    }
    builder.finish()
}

fn row(builder: &mut BatchBuilder, company: &Company, event: &Event) {
    let Some(person) = company.people.get(event.who as usize) else { return };
    let (app, kind, action, object_kind) = words(event.what, event.who);
    builder.begin_row();
    let number = builder.rows();
    builder.text("id", &format!("{}-{}-{number}", event.received, event.who));
    builder.integer("time", event.time);
    builder.integer("received", event.received);
    for (name, value) in [("app", app), ("connection", app), ("kind", kind)] {
        builder.text(name, value);
    }
    match event.what {
        What::RareAdministration => builder.text("action", &format!("{action} {}", event.strange)),
        _ => builder.text("action", action),
    }
    builder.text("person", &person.email);
    builder.text("object.kind", object_kind);
    if let Some((state, since)) = event.state {
        builder.text("object", &person.email);
        builder.text("object.name", &person.email);
        builder.text("actor.type", "system");
        builder.text("actor.status", state);
        builder.integer("actor.since", since);
        return;
    }
    builder.text("object", &format!("o{}", event.object));
    builder.text("actor", &person.email);
    builder.text("actor.id", &person.email);
    builder.text("actor.type", if person.is_service() { "service" } else { "user" });
    builder.flag("actor.admin", person.is_admin() || event.what == What::GrantAdmin);
    let failed = event.what == What::FailedLogin;
    builder.text("result", if failed { "failure" } else { "success" });
    let administrative =
        matches!(event.what, What::Administer | What::RareAdministration | What::GrantAdmin);
    builder.flag("administrative", administrative);
    builder.flag("impersonated", event.behalf.is_some());
    if let Some(owner) = event.behalf.and_then(|behalf| company.people.get(behalf as usize)) {
        builder.text("behalf", &owner.email);
    }
    if kind == "login" {
        builder.flag("interactive", true);
    }
    if matches!(event.what, What::Share | What::Send | What::HandOver) {
        builder.text("recipient", &format!("r{}@partner.example", event.object));
        builder.text("recipient.domain", "partner.example");
        builder.flag("recipient.external", true);
    }
    let elsewhere = event.place.is_some_and(|place| place.owner.is_empty());
    let own = event.strange == 0 || elsewhere || event.what == What::RareAdministration;
    let family = if own { person.client.to_owned() } else { format!("tool-{}", event.strange) };
    builder.text("user-agent.family", &family);
    builder.text("user-agent.kind", if own { "browser" } else { "library" });
    builder.text("client", "web");
    if let Some(place) = event.place {
        whereabouts(builder, &place, event);
    }
}

fn whereabouts(builder: &mut BatchBuilder, place: &Place, event: &Event) {
    builder.text("ip", &place.address(event.who));
    builder.text("country", place.country);
    builder.number("latitude", place.latitude);
    builder.number("longitude", place.longitude);
    builder.number("accuracy", place.accuracy);
    builder.integer("network.number", place.number);
    match place.owner {
        "" => builder.text("network.owner", &format!("Corner Mobile {}", event.strange)),
        owner => builder.text("network.owner", owner),
    }
    builder.text("ip.category", place.category);
    builder.text("ip.tags", place.tags);
    if !place.tags.is_empty() {
        builder.text("ip.lists", "made-up@000000000000");
    }
}
