//! Access tokens: the keys that sign them, and what is refused.

use std::sync::Arc;

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ed25519_dalek::{Signature, VerifyingKey};
use futures::future::try_join_all;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::KeyPair;
use reqwest::Method;
use serde_json::{Value, json};

use super::harness::{Answer, Api, Exchange, PASSWORD, User, eventually, fresh_email, shared, start};
use chassis_tests::App;

/// Routes that want a token, of both components that do.
const DOORS: [(Method, &str); 4] = [
    (Method::GET, "/api/v1/users/me"),
    (Method::GET, "/api/v1/auth/validate"),
    (Method::POST, "/api/v1/auth/logout"),
    (Method::GET, "/api/v1/todos"),
];

/// A token taken apart.
struct Parts {
    header: Value,
    claims: Value,
    signed: String,
    signature: String,
}

fn take_apart(token: &str) -> anyhow::Result<Parts> {
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        anyhow::bail!("not three parts: {token}")
    };
    let read = |part: &str| anyhow::Ok(serde_json::from_slice(&BASE64.decode(part)?)?);
    Ok(Parts {
        header: read(header)?,
        claims: read(claims)?,
        signed: format!("{header}.{claims}"),
        signature: signature.to_owned(),
    })
}

fn part(value: &Value) -> String {
    BASE64.encode(value.to_string())
}

/// The one key of a host, as it tells it.
async fn key(api: &Api) -> anyhow::Result<(String, [u8; 32])> {
    let set = api.get("/.well-known/jwks.json").expect(200).await?;
    let [key] = &set["keys"].as_array().context("keys")?[..] else { anyhow::bail!("not one key: {set}") };
    ensure!((&key["kty"], &key["crv"], &key["alg"]) == (&json!("OKP"), &json!("Ed25519"), &json!("EdDSA")), "{key}");
    ensure!(key.get("d").is_none(), "the private key is told");
    let x = BASE64.decode(key["x"].as_str().context("x")?)?;
    let kid = key["kid"].as_str().context("kid")?.to_owned();
    Ok((kid, x.try_into().map_err(|_length| anyhow::anyhow!("an Ed25519 key has 32 bytes"))?))
}

/// Checks a token as anybody can who has read the keys.
fn verify(token: &str, kid: &str, key: &[u8; 32]) -> anyhow::Result<Value> {
    let parts = take_apart(token)?;
    ensure!((&parts.header["alg"], &parts.header["kid"]) == (&json!("EdDSA"), &json!(kid)), "{}", parts.header);
    let signature = Signature::from_slice(&BASE64.decode(&parts.signature)?)?;
    VerifyingKey::from_bytes(key)?.verify_strict(parts.signed.as_bytes(), &signature)?;
    Ok(parts.claims)
}

fn is_refused(answer: &Answer) -> anyhow::Result<()> {
    answer.problem(401, "unauthorized")?;
    ensure!(answer.header("www-authenticate").starts_with("Bearer"), "{:?}", answer.headers);
    Ok(())
}

#[tokio::test]
async fn the_published_key_verifies_a_token() -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    let (kid, key) = key(&api).await?;
    let claims = verify(&user.access, &kid, &key)?;
    assert_eq!(claims["sub"], json!(user.id));
    let number = |name: &str| claims[name].as_i64().with_context(|| format!("{name}: {claims}"));
    assert_eq!(number("exp")? - number("iat")?, 900);
    assert!(claims["sid"].as_str().is_some_and(|sid| sid.starts_with("ses_")), "{claims}");
    assert!(claims.get("email").is_none() && claims.get("password").is_none(), "{claims}");
    Ok(())
}

#[tokio::test]
async fn nobody_gets_in_without_a_token() -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    for (method, path) in DOORS {
        let ask = || api.request(method.clone(), path);
        let basic = ask().basic_auth(&user.email, Some(PASSWORD));
        let twice = ask().bearer_auth(&user.access).header("authorization", format!("Bearer {}", user.access));
        let in_query = api.request(method.clone(), &format!("{path}?access_token={}", user.access));
        let in_cookie = ask().header("cookie", format!("accessToken={}", user.access));
        for request in [ask(), basic, twice, in_query, in_cookie, ask().header("authorization", "Bearer")] {
            is_refused(&request.answer().await?).context(path)?;
        }
    }
    assert_eq!(api.status_with(&user.access).await?, 200);
    Ok(())
}

/// Tokens that somebody could make who has seen those of two users, and the public key.
fn forgeries(mine: &User, theirs: &User, kid: &str, key: &[u8; 32]) -> anyhow::Result<Vec<(&'static str, String)>> {
    let own = take_apart(&mine.access)?;
    let other = take_apart(&theirs.access)?;
    let mut altered = own.claims.clone();
    altered["sub"] = other.claims["sub"].clone();
    let mut promoted = own.claims.clone();
    promoted["roles"] = json!(["admin", "user"]);
    let mut prolonged = own.claims.clone();
    prolonged["exp"] = json!(4_102_444_800_i64);
    let with =
        |header: &Value, claims: &Value, signature: &str| format!("{}.{}.{signature}", part(header), part(claims));
    let none = |alg: &str| json!({ "typ": "JWT", "alg": alg, "kid": kid });
    let foreign = KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
    let foreign_ec = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let signed = |algorithm: Algorithm, kid: &str, key: &EncodingKey| {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(algorithm) };
        encode(&header, &other.claims, key).context("a forgery")
    };
    let ed = EncodingKey::from_ed_der(foreign.serialized_der());
    let ec = EncodingKey::from_ec_der(foreign_ec.serialized_der());
    let embedded = json!({ "typ": "JWT", "alg": "EdDSA", "kid": kid, "jwk": { "kty": "OKP", "crv": "Ed25519",
        "x": BASE64.encode(foreign.public_key_raw()) } });
    let embedding = jsonwebtoken::crypto::sign(
        format!("{}.{}", part(&embedded), part(&other.claims)).as_bytes(),
        &ed,
        Algorithm::EdDSA,
    )?;
    let half = own.signature.get(..43).context("a signature")?;
    Ok(vec![
        ("words", "not.a.token".to_owned()),
        ("one part", own.signature.clone()),
        ("four parts", format!("{}.x", mine.access)),
        ("endless", "a".repeat(5000)),
        ("alg none", with(&none("none"), &own.claims, "")),
        ("alg None", with(&none("None"), &own.claims, "")),
        ("alg none with the signature", with(&none("none"), &own.claims, &own.signature)),
        ("no signature", format!("{}.", own.signed)),
        ("half a signature", format!("{}.{half}", own.signed)),
        ("the signature of another token", format!("{}.{}", own.signed, other.signature)),
        ("another user", with(&own.header, &altered, &own.signature)),
        ("another role", with(&own.header, &promoted, &own.signature)),
        ("a longer life", with(&own.header, &prolonged, &own.signature)),
        ("HS256 by the public key", signed(Algorithm::HS256, kid, &EncodingKey::from_secret(key))?),
        (
            "HS256 by the public key as text",
            signed(Algorithm::HS256, kid, &EncodingKey::from_secret(BASE64.encode(key).as_bytes()))?,
        ),
        ("HS256 by nothing", signed(Algorithm::HS256, kid, &EncodingKey::from_secret(b""))?),
        ("ES256 by a foreign key", signed(Algorithm::ES256, kid, &ec)?),
        ("EdDSA by a foreign key", signed(Algorithm::EdDSA, kid, &ed)?),
        ("EdDSA by a foreign key of another name", signed(Algorithm::EdDSA, "another", &ed)?),
        ("EdDSA by a key that it brings along", format!("{}.{}.{embedding}", part(&embedded), part(&other.claims))),
        ("a refresh token", mine.refresh.clone()),
    ])
}

#[tokio::test]
async fn forged_tokens_open_no_door() -> anyhow::Result<()> {
    let api = shared()?;
    let (mine, theirs) = (api.somebody().await?, api.somebody().await?);
    let (kid, key) = key(&api).await?;
    for (what, token) in forgeries(&mine, &theirs, &kid, &key)? {
        for (method, path) in DOORS {
            let answer = api.request(method, path).bearer_auth(&token).answer().await?;
            is_refused(&answer).with_context(|| format!("{what} at {path}"))?;
            assert!(!answer.text.contains(&token), "{what}: the token is told back");
        }
    }
    // None of them has harmed anybody.
    for user in [&mine, &theirs] {
        assert_eq!(api.status_with(&user.access).await?, 200);
    }
    Ok(())
}

#[tokio::test]
async fn an_expired_token_is_refused_by_both_components() -> anyhow::Result<()> {
    let life = "access_token_expire_minutes = \"{{ access_token_expire_minutes }}\"";
    let app = App::shipped_with(|manifest| manifest.replace(life, "jwt_expires_in = \"3s\""))?;
    let state = tempfile::tempdir()?;
    let host = start(&app, &state.path().join("state"), &[]).await?;
    let api = Api::of(&host)?;
    let user = api.somebody().await?;
    let session = api.session(&user.email).await?;
    assert_eq!(api.login(&user.email, PASSWORD).expect(200).await?["expiresIn"], 3);
    for path in ["/api/v1/users/me", "/api/v1/todos"] {
        let answer = eventually("the end of a token", async || {
            let answer = api.get(path).bearer_auth(&session.access).answer().await?;
            Ok((answer.status != 200).then_some(answer))
        })
        .await?;
        is_refused(&answer)?;
        assert!(answer.header("www-authenticate").contains("error=\"invalid_token\""), "{:?}", answer.headers);
        assert!(answer.text.contains("expired"), "{}", answer.text);
    }
    // The session goes on: that is what refresh tokens are for.
    api.refresh(&session.refresh).expect(200).await?;
    Ok(())
}

#[tokio::test]
async fn one_key_is_made_however_many_ask_first_and_another_hosts_tokens_do_not_count() -> anyhow::Result<()> {
    let app = App::shipped()?;
    let state = tempfile::tempdir()?;
    let host = start(&app, &state.path().join("state"), &[]).await?;
    let api = Arc::new(Api::of(&host)?);
    let newcomers = try_join_all((0..16).map(|_| async {
        let email = fresh_email();
        let ask_key = api.get("/.well-known/jwks.json").expect(200);
        let (set, made) = tokio::try_join!(ask_key, api.register(&email).expect(201))?;
        anyhow::Ok((set, made, api.session(&email).await?))
    }))
    .await?;
    let (kid, public) = key(&api).await?;
    for (set, made, user) in &newcomers {
        assert_eq!(set["keys"].as_array().map(Vec::len), Some(1), "{set}");
        assert_eq!(verify(&user.access, &kid, &public)?["sub"], made["user"]["id"]);
        assert_eq!(api.status_with(&user.access).await?, 200);
    }
    assert_eq!(host.log().matches("a signing key was made").count(), 1);

    let elsewhere = shared()?;
    let stranger = elsewhere.somebody().await?;
    let answer = api.get("/api/v1/users/me").bearer_auth(&stranger.access).answer().await?;
    is_refused(&answer)?;
    is_refused(&api.get("/api/v1/todos").bearer_auth(&stranger.access).answer().await?)?;

    // Keys, accounts and sessions outlive the host.
    assert_eq!(host.stop().await?.code, Some(0));
    let host = start(&app, &state.path().join("state"), &[]).await?;
    let api = Api::of(&host)?;
    assert_eq!(key(&api).await?, (kid, public));
    let (_, _, user) = newcomers.first().context("somebody came")?;
    assert_eq!(api.status_with(&user.access).await?, 200);
    Ok(())
}

#[tokio::test]
async fn whoever_cannot_open_the_key_is_unhealthy_and_still_checks_tokens() -> anyhow::Result<()> {
    const VARIABLE: &str = "CHASSIS_VARIABLE_SECRET_KEY";
    let app = App::shipped()?;
    let folder = tempfile::tempdir()?;
    let state = folder.path().join("state");
    let (right, wrong) = ("0123456789abcdef0123456789abcdef", "another secret of the same length");
    let mut user: Option<User> = None;
    for (secret, word, login) in [(right, "healthy", 200), (wrong, "unhealthy", 500), (right, "healthy", 200)] {
        let host = start(&app, &state, &[(VARIABLE, secret)]).await?;
        let api = Api::of(&host)?;
        let health = eventually("health of auth", async || {
            let health = api.get("/health").answer().await?.json()?["services"]["auth"].clone();
            Ok((health["status"] != "unknown").then_some(health))
        })
        .await?;
        assert_eq!(
            (&health["status"], &health["dependencies"]["signingKeys"]),
            (&json!(word), &json!(word)),
            "{health}"
        );
        assert_eq!(health["dependencies"]["database"], "healthy", "{health}");
        if user.is_none() {
            user = Some(api.somebody().await?);
        }
        let user = user.as_ref().context("somebody")?;
        assert_eq!(api.login(&user.email, PASSWORD).answer().await?.status, login, "{word}");
        // The public half is enough for that, in auth itself and by its typed interface.
        assert_eq!(api.status_with(&user.access).await?, 200, "{word}");
        api.get("/api/v1/todos").bearer_auth(&user.access).expect(200).await?;
        key(&api).await?;
        assert_eq!(host.stop().await?.code, Some(0));
    }
    Ok(())
}
