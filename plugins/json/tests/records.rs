//! Records through the adapter as a host calls it: what becomes of their values, of the files they
//! stand in, and of what is no JSON.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't go on has failed"
)]

use casbah_json::Json;
use casbah_plugin::model::adapter::Adapter as _;
use casbah_plugin::model::{Batch, Values};
use casbah_plugin::{NativeAdapter, json};
use proptest::prelude::*;
use serde_json::Value;

fn read(settings: &str, body: &[u8]) -> Batch {
    let adapter = NativeAdapter::<Json>::new();
    let raw = adapter.split(body).unwrap();
    let batch = adapter.normalize(settings, body, &raw).unwrap();
    assert_eq!(batch.check(), Ok(()));
    assert_eq!(batch.len(), raw.len() / 2);
    batch
}

/// The fields of a row: key and value.
fn fields(batch: &Batch, row: usize) -> Vec<(String, String)> {
    let Some(nested) = batch.nested("fields") else { return Vec::new() };
    let column = |name: &str| match nested.column(name) {
        Some(Values::Text(ids)) => ids.clone(),
        _ => vec![0; nested.rows()],
    };
    let (keys, values) = (column("key"), column("value"));
    let text = |ids: &[u32], at: usize| batch.texts.get(ids[at]).to_owned();
    nested.range(row).map(|at| (text(&keys, at), text(&values, at))).collect()
}

/// Every scalar of a value under its path, by way of serde_json.
fn flatten(path: &str, value: &Value, out: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, out);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| flatten(path, item, out)),
        Value::String(text) => out.push((path.to_owned(), text.clone())),
        other => out.push((path.to_owned(), other.to_string())),
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            object(inner),
        ]
    })
}

fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    // Few names, so that records share them and differ in their order and nesting.
    proptest::collection::vec(("[ab.é]{0,2}|.{0,6}", inner), 0..6)
        .prop_map(|pairs| pairs.into_iter().collect::<serde_json::Map<_, _>>().into())
}

/// The forms in which records are saved.
fn written(records: &[Value], form: usize) -> String {
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    match form {
        0 => lines.join("\n"),
        1 => lines.join("\r\n\r\n") + "\n",
        2 => format!("\u{feff}{}", lines.join("\n")),
        3 => Value::from(records.to_vec()).to_string(),
        4 => pretty(&Value::from(records.to_vec())),
        5 => records.iter().map(pretty).collect::<Vec<_>>().join("\n"),
        6 => lines.concat(),
        7 => json!({"Records": records}).to_string(),
        8 => pretty(&json!({"kind": "list", "nextPageToken": "x", "items": records})),
        _ => {
            let half = records.len() / 2;
            let page = |records: &[Value]| json!({"@odata.nextLink": "x", "value": records});
            format!("{}\n{}", page(&records[..half]), page(&records[half..]))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The fields of a record are the scalars that serde_json finds, whatever the file looks like.
    #[test]
    fn fields_are_the_scalars_of_the_record(
        records in proptest::collection::vec(object(value()), 1..8),
        form in 0_usize..10,
    ) {
        // A record that is nothing but a list of objects would look like an answer.
        let records: Vec<Value> = records
            .into_iter()
            .enumerate()
            .map(|(number, mut record)| {
                record["number"] = number.into();
                record
            })
            .collect();
        let batch = read("{}", written(&records, form).as_bytes());
        prop_assert_eq!(batch.len(), records.len());
        for (row, record) in records.iter().enumerate() {
            let mut expected = Vec::new();
            flatten("", record, &mut expected);
            prop_assert_eq!(fields(&batch, row), expected);
        }
    }

    /// Damage in a line is told of that line, and the others are read as ever; serde_json agrees on
    /// which lines are no JSON objects.
    #[test]
    fn a_broken_line_does_not_harm_the_others(
        records in proptest::collection::vec(object(value()), 1..6),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut body = b"{\"first\": 1}\n".to_vec();
        let start = body.len();
        body.extend(records.iter().map(Value::to_string).collect::<Vec<_>>().join("\n").bytes());
        for (at, byte) in &damage {
            let at = start + at.index(body.len() - start);
            body[at] = *byte;
        }
        let lines: Vec<&[u8]> = body
            .split(|&byte| byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .filter(|line| !line.is_empty())
            .collect();
        let batch = read("{}", &body);
        prop_assert_eq!(batch.len(), lines.len());
        for (row, line) in lines.iter().enumerate() {
            let theirs = serde_json::from_slice::<serde_json::Map<String, Value>>(line);
            let wrong = batch.text("broken", row);
            match theirs {
                Ok(record) => {
                    prop_assert_eq!(wrong, "");
                    let mut expected = Vec::new();
                    flatten("", &record.into(), &mut expected);
                    // Of two members of a name serde_json keeps the last; numbers such as 1E2 it
                    // writes in its own way.
                    expected.retain(|(_, value)| value.parse::<f64>().is_err());
                    let found = fields(&batch, row);
                    prop_assert!(expected.iter().all(|field| found.contains(field)));
                }
                // Half of a surrogate pair is kept as it is written.
                Err(error) if error.to_string().contains("surrogate")
                    || error.to_string().contains("hex escape")
                    || error.to_string().contains("out of range") => {}
                Err(_) => {
                    prop_assert_ne!(wrong, "");
                    prop_assert_eq!(fields(&batch, row), vec![]);
                }
            }
        }
    }

    /// No bytes make it panic.
    #[test]
    fn nothing_panics(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let adapter = NativeAdapter::<Json>::new();
        if let Ok(raw) = adapter.split(&body) {
            let read = adapter.normalize("{}", &body, &raw);
            prop_assert!(read.is_ok());
        }
    }
}

/// What was said of each record; empty for those that were read.
fn said(body: &[u8]) -> Vec<String> {
    let batch = read("{}", body);
    (0..batch.len()).map(|row| batch.text("broken", row).to_owned()).collect()
}

#[test]
fn hostile_records_are_told_one_by_one() {
    let deep = format!("{{\"a\": {}1{}}}", "[".repeat(200_000), "]".repeat(200_000));
    let objects = format!("{}1{}", "{\"a\":".repeat(200_000), "}".repeat(200_000));
    let long = format!("{{\"{}\": 1}}", "x".repeat(5000));
    let unclosed = format!("{{\"a\": {}}}", "[".repeat(100_000));
    let lines = [
        "{\"fine\": 1}",
        &deep,
        &objects,
        &long,
        &long,
        &unclosed,
        "{\"a\": 1} {\"b\": 2}",
        "{\"a\": 1,}",
        "{\"a\": tru}",
        "[1, 2]",
        "no JSON at all",
        "{\"fine\": \"again\"}",
    ];
    let mut body = lines.join("\n").into_bytes();
    body.extend(b"\n{\"a\": \"\xff\"}\n{\"last\": true}");
    insta::assert_snapshot!(said(&body).join("\n"), @r#"



    at byte 5004 there should be a shorter name: with those around it, it is longer than 4096 bytes
    at byte 5005 there should be a shorter name: with those around it, it is longer than 4096 bytes
    at byte 100006 there should be a value
    at byte 9 there should be the end
    at byte 8 there should be a key in quotes
    at byte 6 there should be `true`, `false` or `null`
    at byte 0 there should be an object
    at byte 0 there should be an object

    at byte 7 it is not UTF-8
    "#);
    let batch = read("{}", &body);
    assert_eq!(fields(&batch, 13), [("last".to_owned(), "true".to_owned())]);
    // What is deeper than anybody reads is kept as it is written.
    let [(key, value)] = &fields(&batch, 1)[..] else { panic!("one field") };
    assert_eq!(key, "a");
    assert!(value.starts_with("[[[") && value.len() > 300_000, "{}", value.len());
}

/// Names that never end must not take all memory.
#[test]
fn ever_new_names_come_to_an_end() {
    let prefix = "p".repeat(4000);
    let line = |from: usize| {
        let members: Vec<String> =
            (from..from + 1000).map(|number| format!("\"{number}\":1")).collect();
        format!("{{\"{prefix}\":{{{}}}}}", members.join(","))
    };
    let body: Vec<String> = (0..20).map(|number| line(number * 1000)).collect();
    let said = said(body.join("\n").as_bytes());
    assert_eq!(said.first().map(String::as_str), Some(""));
    insta::assert_snapshot!(said.last().unwrap(), @"at byte 4013 there should be a name that is not new: there are too many different ones");
}

#[test]
fn what_is_no_file_of_records_is_told() {
    let adapter = NativeAdapter::<Json>::new();
    let failure = |body: &[u8]| adapter.split(body).unwrap_err().to_string();
    insta::assert_snapshot!(failure(b"time,actor\n2026-01-01,ana\n"), @"these are no JSON records: in line 1, at byte 0 there should be an object or an array");
    insta::assert_snapshot!(failure(b"{\n  \"a\": 1,\n  \"b\": [1, 2\n}\n"), @"these are no JSON records: in line 4, at byte 25 there should be `,` or `]`");
    insta::assert_snapshot!(failure(b"\xff\xfe{}"), @"the answer is not UTF-8: invalid utf-8 sequence of 1 bytes from index 0");
    // One line that is broken at the very beginning is no reason to give up the others.
    assert_eq!(adapter.split(b"{\"cut\n{\"a\":1}\n{\"b\":1}").unwrap().len(), 6);
}

/// A record of Google has a list of its own named like those of answers.
#[test]
fn records_with_lists_are_no_answers() {
    for (body, expected) in [
        (json!({"id": {"time": "x"}, "actor": {}, "events": [{"name": "a"}, {"name": "b"}]}), 1),
        (json!({"data": [1, 2]}), 1),
        (json!({"data": [{"a": 1}, {"b": 2}], "user": "x"}), 1),
        (json!({"data": [{"a": 1}], "items": [{"b": 2}]}), 1),
        (json!({"data": [{"a": 1}, {"b": 2}], "nextPageToken": "x"}), 2),
        (json!({"Records": []}), 0),
    ] {
        assert_eq!(read("{}", body.to_string().as_bytes()).len(), expected, "{body}");
    }
}

#[test]
fn a_mapping_fills_the_columns() {
    let settings = json!({"mapping": {
        "source": {"from": "log", "is": {"A": "acme.audit"}, "otherwise": "acme.other"},
        "columns": {
            "id": "id",
            "time": ["when", "at"],
            "actor": ["who.mail", "who.id"],
            "ip": "from",
            "object": "what.id",
            "object.name": "what.name",
            "recipient": "to",
        },
        "kind": {"from": "did", "is": {"Took": "download"}, "otherwise": "other"},
        "result": {"from": "error", "present": "failure", "absent": "success"},
    }})
    .to_string();
    let body = br#"
        {"id":"1","log":"a","at":"2026-01-15T08:00:00Z","who":{"mail":"Ana@Acme.example","id":7},"from":"203.0.113.7:443","did":"took","what":{"id":12,"name":"Plan"},"to":["Bo@x.example","c@x.example"],"error":null}
        {"id":"2","log":"b","when":1768464000,"who":{"mail":"","id":7},"from":"AWS Internal","did":"gave","error":"no"}
        {"when":"soon"}
    "#;
    let batch = read(&settings, body);
    let row = |row: usize| {
        let text = |name: &str| batch.text(name, row).to_owned();
        let names = [
            "id",
            "source",
            "actor",
            "actor.email",
            "ip",
            "kind",
            "object",
            "object.name",
            "recipient",
            "result",
        ];
        format!("{} {:?}", names.map(text).join("|"), batch.integer("time", row))
    };
    insta::assert_snapshot!([row(0), row(1), row(2)].join("\n"), @r#"
    1|acme.audit|ana@acme.example|Ana@Acme.example|203.0.113.7|download|12|Plan|bo@x.example|success Some(1768464000000)
    2|acme.other|7|||other||||failure Some(1768464000000)
    made-c319147e7b3460d1103a5764c047abb8|acme.other||||other||||success None
    "#);
    // An object among the objects, and a null is a value for rules but none for columns.
    assert_eq!(batch.nested("objects").map(casbah_plugin::model::table::Nested::rows), Some(1));
    assert!(fields(&batch, 0).contains(&("error".to_owned(), "null".to_owned())));
}

/// One record of each service, as its documentation shows it.
#[test]
fn ready_made_mappings_understand_what_services_write() {
    let cases = [
        (
            "cloudtrail",
            json!({"Records": [{"eventVersion": "1.08", "userIdentity": {"type": "IAMUser", "principalId": "AIDA", "arn": "arn:aws:iam::123456789012:user/mary", "accountId": "123456789012", "userName": "mary"}, "eventTime": "2023-07-19T21:11:57Z", "eventSource": "iam.amazonaws.com", "eventName": "CreateUser", "awsRegion": "us-east-1", "sourceIPAddress": "192.0.2.0", "userAgent": "aws-cli/2", "requestParameters": {"userName": "richard"}, "eventID": "0c3b", "recipientAccountId": "123456789012"}]}),
        ),
        (
            "okta",
            json!([{"uuid": "dc9fd3c0-598c-11ef-8478-2b7584bf8d5a", "published": "2024-08-13T15:58:20.353Z", "eventType": "user.session.start", "actor": {"id": "00uttidj01jqL21aM1d6", "type": "User", "alternateId": "John.Doe@example.com", "displayName": "John Doe"}, "client": {"userAgent": {"rawUserAgent": "Mozilla/5.0"}, "ipAddress": "10.0.0.1"}, "outcome": {"result": "FAILURE", "reason": "INVALID_CREDENTIALS"}, "target": [{"id": "p7rHSdfS", "type": "AuthenticatorEnrollment", "displayName": "Password"}]}]),
        ),
        (
            "m365",
            json!({"CreationTime": "2021-05-04T07:05:26", "Id": "6c1fbc4f", "Operation": "FileDownloaded", "OrganizationId": "b7f5", "ResultStatus": "Succeeded", "UserKey": "i:0h.f", "UserId": "Ana@contoso.example", "ClientIP": "203.0.113.9", "Workload": "SharePoint", "ObjectId": "https://contoso.example/plan.docx", "ItemType": "File", "SourceFileName": "plan.docx"}),
        ),
        (
            "github",
            json!({"@timestamp": 1_606_929_874_512_u64, "action": "team.add_member", "actor": "octocat", "actor_ip": "192.0.2.4", "created_at": 1_606_929_874_512_u64, "_document_id": "xJJFlFOhQ6b-5vaAFy9Rjw", "org": "octo-corp", "team": "octo-corp/example-team", "user": "monalisa"}),
        ),
        (
            "google-workspace",
            json!({"kind": "admin#reports#activities", "items": [{"kind": "admin#reports#activity", "id": {"time": "2020-10-01T09:00:00.000Z", "uniqueQualifier": "-7", "applicationName": "admin", "customerId": "C03"}, "actor": {"email": "Admin@example.com", "profileId": "1181"}, "ipAddress": "203.0.113.1", "events": [{"type": "USER_SETTINGS", "name": "CREATE_USER", "parameters": [{"name": "USER_EMAIL", "value": "new@example.com"}]}]}]}),
        ),
        (
            "azure",
            json!({"records": [{"time": "2024-03-01T10:00:00Z", "category": "SignInLogs", "operationName": "Sign-in activity", "resultType": "50126", "resultDescription": "Invalid username or password", "callerIpAddress": "198.51.100.3", "properties": {"id": "66ea", "userPrincipalName": "Ana@contoso.example", "userId": "4f", "status": {"errorCode": 50126}}}]}),
        ),
    ];
    let rows: Vec<String> = cases
        .iter()
        .map(|(mapping, body)| {
            let settings = json!({ "mapping": mapping }).to_string();
            let batch = read(&settings, body.to_string().as_bytes());
            assert_eq!(batch.len(), 1, "{mapping}");
            let names = ["source", "id", "kind", "action", "actor", "ip", "object", "result"];
            let row = names.map(|name| batch.text(name, 0).to_owned()).join("|");
            format!("{row} {:?}", batch.integer("time", 0))
        })
        .collect();
    insta::assert_snapshot!(rows.join("\n"), @r#"
    aws.cloudtrail|0c3b|user-add|CreateUser|mary|192.0.2.0|richard|success Some(1689801117000)
    okta.okta|dc9fd3c0-598c-11ef-8478-2b7584bf8d5a|login|user.session.start|john.doe@example.com|10.0.0.1|p7rHSdfS|failure Some(1723564700353)
    m365.audit|6c1fbc4f|download|FileDownloaded|ana@contoso.example|203.0.113.9|https://contoso.example/plan.docx|success Some(1620111926000)
    github.audit|xJJFlFOhQ6b-5vaAFy9Rjw|group-change|team.add_member|octocat|192.0.2.4|octo-corp/example-team| Some(1606929874512)
    gcp.google_workspace|-7|user-add|CREATE_USER|admin@example.com|203.0.113.1|| Some(1601542800000)
    azure.signinlogs|66ea|login|Sign-in activity|ana@contoso.example|198.51.100.3||failure Some(1709287200000)
    "#);
}
