//! Registering: the rules, the races, the repetitions.

use anyhow::Context;
use futures::future::try_join_all;
use serde_json::{Value, json};

use super::harness::{Exchange, PASSWORD, fresh_email, registration, shared};

/// A registration with one member changed; `null` takes it away.
fn with(member: &str, value: Value) -> Value {
    let mut body = registration(&fresh_email());
    match value {
        Value::Null => drop(body.as_object_mut().and_then(|members| members.remove(member))),
        value => body[member] = value,
    }
    body
}

#[tokio::test]
async fn every_rule_of_a_registration_is_told_by_its_place() -> anyhow::Result<()> {
    let api = shared()?;
    let cases = [
        ("email", json!("ada"), "/email invalid-email"),
        ("email", json!("ada@example"), "/email invalid-email"),
        ("email", json!("ada@@example.com"), "/email invalid-email"),
        ("email", json!("Ada <ada@example.com>"), "/email invalid-email"),
        ("email", json!("ada@example.com\r\nBcc: eve@example.com"), "/email invalid-email"),
        ("email", json!("ada@example.com,eve@example.com"), "/email invalid-email"),
        ("email", json!(""), "/email invalid-email"),
        ("email", json!(format!("{}@example.com", "a".repeat(300))), "/email too-long"),
        ("email", json!(7), "/email wrong-type"),
        ("password", json!("1234567"), "/password too-short"),
        ("password", json!(""), "/password too-short"),
        ("password", json!("x".repeat(129)), "/password too-long"),
        ("password", json!("ü".repeat(129)), "/password too-long"),
        ("password", json!(["correct horse"]), "/password wrong-type"),
        ("firstName", json!(" "), "/firstName too-short"),
        ("firstName", json!("x".repeat(101)), "/firstName too-long"),
        ("firstName", json!("Ada\r\nBcc: eve@example.com"), "/firstName invalid-character"),
        ("firstName", json!({}), "/firstName wrong-type"),
        ("lastName", json!(""), "/lastName too-short"),
        ("lastName", json!("x".repeat(101)), "/lastName too-long"),
        ("lastName", json!("Love\u{0}lace"), "/lastName invalid-character"),
        ("lastName", json!(true), "/lastName wrong-type"),
    ];
    for (member, value, expected) in cases {
        let answer = api.post("/api/v1/auth/register", &with(member, value.clone())).answer().await?;
        let found = answer.violations(422, "validation").with_context(|| format!("{member}: {value}"))?;
        assert_eq!(found, [expected], "{member}: {value}");
    }
    for member in ["email", "password", "firstName", "lastName"] {
        let answer = api.post("/api/v1/auth/register", &with(member, Value::Null)).answer().await?;
        let problem = answer.problem(422, "validation")?.to_string();
        assert!(problem.contains(member), "{member}: {problem}");
    }
    Ok(())
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once() -> anyhow::Result<()> {
    let api = shared()?;
    let body = json!({ "email": "ada", "password": "short", "firstName": "", "lastName": "x".repeat(101) });
    let found = api.post("/api/v1/auth/register", &body).answer().await?.violations(422, "validation")?;
    assert_eq!(found, ["/email invalid-email", "/firstName too-short", "/lastName too-long", "/password too-short"]);
    Ok(())
}

#[tokio::test]
async fn the_bounds_themselves_are_accepted() -> anyhow::Result<()> {
    let api = shared()?;
    for password in ["12345678".to_owned(), "ü".repeat(128), "\u{1f40e}".repeat(8)] {
        let email = fresh_email();
        let mut body = registration(&email);
        body["password"] = json!(password);
        body["firstName"] = json!("x".repeat(100));
        api.post("/api/v1/auth/register", &body).expect(201).await?;
        api.login(&email, &password).expect(200).await?;
        let almost: String = password.chars().skip(1).collect();
        api.login(&email, &almost).expect(401).await?;
    }
    Ok(())
}

#[tokio::test]
async fn nobody_can_make_themselves_more_than_a_user() -> anyhow::Result<()> {
    let api = shared()?;
    let mut body = registration(&fresh_email());
    body["roles"] = json!(["admin"]);
    body["isActive"] = json!(false);
    body["id"] = json!("usr_1");
    let user = api.post("/api/v1/auth/register", &body).expect(201).await?["user"].clone();
    assert_eq!((&user["roles"], &user["isActive"]), (&json!(["user"]), &json!(true)));
    assert_ne!(user["id"], "usr_1");
    Ok(())
}

#[tokio::test]
async fn an_address_is_taken_in_every_letter_case() -> anyhow::Result<()> {
    let api = shared()?;
    let email = fresh_email();
    api.register(&email).expect(201).await?;
    for spelling in [email.clone(), email.to_uppercase(), email.replace("ada", "aDa"), format!(" {email}\t")] {
        let answer = api.register(&spelling).answer().await?;
        assert_eq!(answer.violations(409, "conflict")?, ["/email taken"], "{spelling}");
    }
    api.login(&email.to_uppercase(), PASSWORD).expect(200).await?;
    Ok(())
}

#[tokio::test]
async fn of_16_who_want_one_address_at_once_one_gets_it() -> anyhow::Result<()> {
    let api = shared()?;
    let email = fresh_email();
    let spelled = |at: usize| if at.is_multiple_of(2) { email.clone() } else { email.to_uppercase() };
    let answers = try_join_all((0..16).map(|at| api.register(&spelled(at)).answer())).await?;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    let mut expected = vec![409; 16];
    expected[0] = 201;
    assert_eq!(statuses, expected);
    for answer in answers.iter().filter(|answer| answer.status == 409) {
        assert_eq!(answer.violations(409, "conflict")?, ["/email taken"]);
    }
    api.login(&email, PASSWORD).expect(200).await?;
    api.quiet().await?;
    let made = answers.iter().find(|answer| answer.status == 201).context("one got it")?.json()?;
    let address = made["user"]["email"].as_str().context("an address")?;
    api.mail(address, "Welcome").await?;
    assert_eq!(api.mails_to(address).await?.len(), 1, "one registration, one welcome");
    Ok(())
}

#[tokio::test]
async fn a_repeated_registration_is_answered_again() -> anyhow::Result<()> {
    let api = shared()?;
    // Several rounds, because equal requests overlap in more than one way.
    for _ in 0..4 {
        let email = fresh_email();
        let key = format!("\"{email}\"");
        let ask = |body: &Value| api.post("/api/v1/auth/register", body).header("idempotency-key", &key);
        let body = registration(&email);
        let answers = try_join_all((0..8).map(|_| ask(&body).answer())).await?;
        for answer in &answers {
            assert_eq!((answer.status, &answer.text), (201, &answers[0].text));
            assert_eq!(answer.header("cache-control"), "no-store");
        }
        let replayed = answers.iter().filter(|answer| answer.header("idempotency-replayed") == "true").count();
        assert_eq!(replayed, 7);
        for (member, value) in [("lastName", "Byron"), ("password", "another horse")] {
            let mut other = body.clone();
            other[member] = json!(value);
            ask(&other).answer().await?.problem(422, "idempotency-key-reused").context(member)?;
        }
        api.register(&email).answer().await?.problem(409, "conflict")?;
    }
    Ok(())
}
