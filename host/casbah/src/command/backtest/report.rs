//! A backtest as one page for a browser, which asks nothing of any other place.
//!
//! Everything in it may come from whoever wrote into the apps, so every text is escaped.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

use anyhow::Result;
use casbah_detect::{PolicySet, activities};
use casbah_model::{Alert, Severity, time};

use crate::command::{Opened, alert};
use crate::output::printable;

const DAY: i64 = 86_400_000;
/// Alerts that are listed; the chart counts all.
const LISTED: usize = 1000;
/// Activities shown of each alert.
const EVIDENCE: usize = 20;
/// Activities shown at most.
const ACTIVITIES: usize = 5000;

const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1c1c1e;--soft:#68686e;--line:#d9d9de;--page:#fff;--critical:#7a0019;\
--high:#c8372d;--medium:#d9822b;--low:#3d7cc9;--info:#8e8e93}\
@media(prefers-color-scheme:dark){:root{--text:#f0f0f3;--soft:#a0a0a8;--line:#3a3a40;--page:#161618;--critical:#ff5c7c;\
--high:#f0665c;--medium:#eba04f;--low:#6fa8ea;--info:#98989f}}\
body{font:15px/1.45 system-ui,sans-serif;color:var(--text);background:var(--page);max-width:70rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p.soft,td.soft,.axis{color:var(--soft)}\
table{border-collapse:collapse;width:100%}th{text-align:left;font-weight:600}th,td{padding:.25rem .75rem .25rem 0;border-bottom:1px solid var(--line);\
vertical-align:top;overflow-wrap:anywhere}td.number,th.number{text-align:right}\
svg{width:100%;height:auto;display:block}.axis{font-size:11px;fill:var(--soft)}\
.critical{fill:var(--critical);color:var(--critical)}.high{fill:var(--high);color:var(--high)}.medium{fill:var(--medium);color:var(--medium)}\
.low{fill:var(--low);color:var(--low)}.info{fill:var(--info);color:var(--info)}\
details{border-bottom:1px solid var(--line);padding:.35rem 0}summary{cursor:pointer}code{font-size:.9em}";

/// A text as HTML.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in printable(self.0).chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// The page about alerts that are not stored, with activities that are.
pub(super) fn page(set: &PolicySet, alerts: &[Alert], opened: &Opened) -> Result<String> {
    let mut page = String::new();
    let blocks = opened.store.blocks(&opened.tenant);
    let rows: u64 = blocks.iter().map(|block| u64::from(block.rows)).sum();
    write!(
        page,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>casbah backtest</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style>\
         <h1>Backtest</h1><p class=\"soft\">{} alerts of {} policies on {rows} stored activities of tenant {}. \
         Nothing of this was stored or sent.</p>",
        alerts.len(),
        set.policies().iter().filter(|policy| policy.enabled).count(),
        Escaped(opened.tenant.as_str()),
    )?;
    chart(&mut page, alerts)?;
    table(&mut page, "By policy", "Policy", &counts(alerts, |alert| alert.policy.clone()))?;
    table(&mut page, "By whom", "Who", &counts(alerts, alert::who))?;
    list(&mut page, alerts, opened)?;
    page.push_str("</html>\n");
    Ok(page)
}

type Count = BTreeMap<Severity, usize>;

/// Numbers of alerts by something, the most frequent first.
fn counts(alerts: &[Alert], by: impl Fn(&Alert) -> String) -> Vec<(String, Count)> {
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    for alert in alerts {
        *counts.entry(by(alert)).or_default().entry(alert.severity).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(count.values().sum::<usize>()));
    counts
}

/// Bars of alerts a day, stacked by severity.
fn chart(page: &mut String, alerts: &[Alert]) -> fmt::Result {
    const WIDTH: f64 = 1000.0;
    const HEIGHT: f64 = 180.0;
    let day = |alert: &Alert| alert.first.div_euclid(DAY);
    let (Some(first), Some(last)) = (alerts.iter().map(day).min(), alerts.iter().map(day).max())
    else {
        return Ok(());
    };
    let mut days: BTreeMap<i64, Count> = BTreeMap::new();
    for alert in alerts {
        *days.entry(day(alert)).or_default().entry(alert.severity).or_default() += 1;
    }
    let most = days.values().map(|count| count.values().sum::<usize>()).max().unwrap_or(1);
    let step = WIDTH / (last - first + 1) as f64;
    let scale = HEIGHT / most as f64;
    write!(
        page,
        "<h2>Alerts a day</h2><svg viewBox=\"0 -14 {WIDTH} {}\" role=\"img\" \
         aria-label=\"Alerts a day, {most} at most\"><text class=\"axis\" x=\"0\" y=\"-3\">{most}</text>",
        HEIGHT + 34.0
    )?;
    for (day, count) in &days {
        let mut y = HEIGHT;
        for (severity, &number) in count.iter().rev() {
            let height = number as f64 * scale;
            y -= height;
            write!(
                page,
                "<rect class=\"{severity}\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\">\
                 <title>{}: {number} {severity}</title></rect>",
                (day - first) as f64 * step,
                (step * 0.85).min(60.0),
                date(*day),
            )?;
        }
    }
    write!(
        page,
        "<line x1=\"0\" x2=\"{WIDTH}\" y1=\"{HEIGHT}\" y2=\"{HEIGHT}\" stroke=\"currentColor\" stroke-opacity=\".3\"/>\
         <text class=\"axis\" x=\"0\" y=\"{}\">{}</text>",
        HEIGHT + 15.0,
        date(first)
    )?;
    if last > first {
        write!(
            page,
            "<text class=\"axis\" x=\"{WIDTH}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            HEIGHT + 15.0,
            date(last)
        )?;
    }
    page.push_str("</svg>");
    Ok(())
}

fn date(day: i64) -> String {
    time::format(day.saturating_mul(DAY)).get(..10).unwrap_or_default().to_owned()
}

/// The most frequent of something.
fn table(page: &mut String, title: &str, name: &str, counts: &[(String, Count)]) -> fmt::Result {
    const MOST: usize = 50;
    if counts.is_empty() {
        return Ok(());
    }
    write!(page, "<h2>{title}</h2><table><tr><th>{name}<th class=\"number\">Alerts<th>Severities")?;
    for (value, count) in counts.iter().take(MOST) {
        let total: usize = count.values().sum();
        write!(page, "<tr><td>{}<td class=\"number\">{total}<td>", Escaped(value))?;
        for (severity, number) in count.iter().rev() {
            write!(page, "<span class=\"{severity}\">{number} {severity}</span> ")?;
        }
    }
    page.push_str("</table>");
    more(page, counts.len(), MOST)
}

fn more(page: &mut String, all: usize, shown: usize) -> fmt::Result {
    match all.saturating_sub(shown) {
        0 => Ok(()),
        left => write!(page, "<p class=\"soft\">and {left} more</p>"),
    }
}

/// The alerts, each with the activities it rests on.
fn list(page: &mut String, alerts: &[Alert], opened: &Opened) -> Result<()> {
    if alerts.is_empty() {
        return Ok(());
    }
    page.push_str("<h2>Alerts</h2>");
    let mut room = ACTIVITIES;
    for alert in alerts.iter().take(LISTED) {
        write!(
            page,
            "<details id=\"{id}\"><summary><span class=\"{severity}\">{severity}</span> {time} <b>{who}</b> {title} \
             <span class=\"soft\">{policy}</span></summary><p>{summary}</p><p class=\"soft\">alert <a href=\"#{id}\"><code>{id}</code></a>, \
             {count} activities, {first} to {last}</p>",
            id = Escaped(&alert.id),
            severity = alert.severity,
            time = time::format(alert.first / 1000 * 1000),
            who = Escaped(&alert::who(alert)),
            title = Escaped(&alert.title),
            policy = Escaped(&alert.policy),
            summary = Escaped(&alert.summary),
            count = alert.count,
            first = time::format(alert.first),
            last = time::format(alert.last),
        )?;
        evidence(page, alert, opened, &mut room)?;
        page.push_str("</details>");
    }
    Ok(more(page, alerts.len(), LISTED)?)
}

fn evidence(page: &mut String, alert: &Alert, opened: &Opened, room: &mut usize) -> Result<()> {
    let shown = alert.evidence.len().min(EVIDENCE).min(*room);
    *room -= shown;
    page.push_str(
        "<table><tr><th class=\"number\">Sequence<th>Time<th>Actor<th>Kind<th>Object<th>IP",
    );
    for evidence in alert.evidence.iter().take(shown) {
        let found = activities::at(opened.store.as_ref(), &opened.tenant, evidence.sequence)?;
        let cell = |name: &str| match found.as_ref().and_then(|found| found.get(name)) {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        };
        let object = match cell("object.name") {
            name if name.is_empty() => cell("object"),
            name => name,
        };
        write!(
            page,
            "<tr><td class=\"number\"><code>{}</code><td>{}<td>{}<td>{}<td>{}<td>{}",
            evidence.sequence,
            time::format(evidence.time),
            Escaped(&cell("actor")),
            Escaped(&cell("kind")),
            Escaped(&object),
            Escaped(&cell("ip")),
        )?;
    }
    page.push_str("</table>");
    let all = usize::try_from(alert.count).unwrap_or(usize::MAX);
    if all > shown {
        write!(
            page,
            "<p class=\"soft\">and {} more; <code>casbah activity show SEQUENCE</code> shows one whole</p>",
            all - shown
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_apps_are_text_and_nothing_else() {
        let hostile = "<script>alert(1)</script>\"'&\u{1b}[2J";
        insta::assert_snapshot!(Escaped(hostile), @"&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\u{fffd}[2J");
    }

    #[test]
    fn the_most_frequent_come_first() {
        let alert = |policy: &str, severity| Alert {
            id: "1".to_owned(),
            policy: policy.to_owned(),
            severity,
            ..serde_json::from_value(serde_json::json!({
                "id": "", "policy": "", "revision": "", "title": "", "severity": "low", "group": [],
                "start": 0, "first": 0, "last": 0, "count": 1, "evidence": [], "summary": "",
                "details": [], "state": "open",
            }))
            .unwrap()
        };
        let alerts =
            [alert("a", Severity::Low), alert("b", Severity::High), alert("b", Severity::Low)];
        let counts = counts(&alerts, |alert| alert.policy.clone());
        let names: Vec<_> = counts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        let mut page = String::new();
        chart(&mut page, &alerts).unwrap();
        assert_eq!(page.matches("<rect").count(), 2, "one day, two severities");
        let mut none = String::new();
        chart(&mut none, &[]).unwrap();
        assert!(none.is_empty());
    }
}
