//! The ways to a server: encryption, authentication, and connections that are used again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chassis_capabilities::clock::Clock;
use chassis_capabilities::mail::{MailError, Smtp, SmtpSetupError, TransportError, from_plan};
use chassis_config::plan::{MailTransport, SmtpPlan, SmtpTls};

use crate::certificates::Certified;
use crate::server::{Encryption, Fault, Kind, Mechanism, PASSWORD, Server, Stage, USER};
use crate::{clock, credentials, message, open, plain, plan, secured, smtp_plan};

/// What a refused mail is told.
async fn temporary(plan: SmtpPlan) -> String {
    match open(plan).await.send(message("refused").into()).await {
        Err(MailError::Temporary(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_encryption_and_mechanism_hands_a_mail_over() {
    for encryption in [Encryption::StartTls, Encryption::Implicit] {
        for mechanism in [Mechanism::Plain, Mechanism::Login] {
            let (server, plan, _folder) = secured(encryption, mechanism).await;
            let receipt = open(plan).await.send(message("hello").into()).await.unwrap();
            assert_eq!(receipt.message_id, "notifications.hello@example.com");
            assert_eq!(receipt.response, "250 OK");
            assert_eq!(server.mails().len(), 1, "{encryption:?} {mechanism:?}");
            let lines = server.lines();
            let at = |verb: &str| lines.iter().position(|line| line.starts_with(verb));
            if encryption == Encryption::StartTls {
                assert!(at("STARTTLS") < at("AUTH"), "{lines:?}");
            }
            assert!(at("AUTH").unwrap() < at("MAIL").unwrap(), "{lines:?}");
        }
    }
    let (server, plan) = plain().await;
    open(plan).await.send(message("hello").into()).await.unwrap();
    assert_eq!(server.mails().len(), 1);
}

/// A lane may come to a standstill, and ends with its threads. Connections that were opened from it are used from others.
#[tokio::test]
async fn a_connection_outlives_the_runtime_that_needed_it_first() {
    let (server, plan) = plain().await;
    let backend = open(plan).await;
    let first = Arc::clone(&backend);
    let lane = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(first.send(message("first").into())).unwrap();
    });
    tokio::task::spawn_blocking(|| lane.join().unwrap()).await.unwrap();
    backend.send(message("second").into()).await.unwrap();
    assert_eq!((server.mails().len(), server.connections()), (2, 1));
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_refused() {
    for encryption in [Encryption::StartTls, Encryption::Implicit] {
        let tls = if encryption == Encryption::Implicit { SmtpTls::Implicit } else { SmtpTls::StartTls };
        for (certified, trusted) in [
            (Certified::new("localhost"), false),
            (Certified::new("elsewhere.example"), true),
            (Certified::expired("localhost"), true),
        ] {
            let kind = Kind { encryption, mechanism: Some(Mechanism::Plain) };
            let server = Server::start(kind, Some(&certified)).await;
            let folder = tempfile::tempdir().unwrap();
            let ca_file = folder.path().join("roots.pem");
            std::fs::write(&ca_file, &certified.authority).unwrap();
            let plan = smtp_plan(server.port, tls);
            let why =
                temporary(SmtpPlan { credentials: credentials(PASSWORD), ca_file: trusted.then_some(ca_file), ..plan })
                    .await;
            assert!(why.contains("certificate"), "{why}");
            let lines = server.lines();
            assert!(!lines.iter().any(|line| line.starts_with("AUTH") || line.starts_with("MAIL")), "{lines:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_offers_no_encryption_gets_neither_password_nor_mail() {
    let kind = Kind { encryption: Encryption::None, mechanism: Some(Mechanism::Plain) };
    let server = Server::start(kind, None).await;
    let plan = smtp_plan(server.port, SmtpTls::StartTls);
    let why = temporary(SmtpPlan { credentials: credentials(PASSWORD), ..plan }).await;
    assert!(why.contains("STARTTLS"), "{why}");
    let lines = server.lines();
    assert!(lines.iter().all(|line| line.starts_with("EHLO") || line == "QUIT"), "{lines:?}");
}

#[tokio::test]
async fn an_answer_put_behind_that_to_starttls_is_not_believed() {
    let (server, plan, _folder) = secured(Encryption::StartTls, Mechanism::Plain).await;
    let forged = "250-mx.example.com\r\n250-SIZE 1\r\n250 AUTH LOGIN\r\n";
    server.fault(Stage::StartTls, "", Fault::Append(forged));
    let mailer = open(plan).await;
    let outcome = mailer.send(message("forged").into()).await;
    assert!(matches!(outcome, Err(MailError::Temporary(_))), "{outcome:?}");
    assert!(!server.lines().iter().any(|line| line.starts_with("AUTH")));
    mailer.send(message("forged").into()).await.unwrap();
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn a_password_is_not_sent_in_clear() {
    let plan = SmtpPlan { credentials: credentials(PASSWORD), ..smtp_plan(25, SmtpTls::None) };
    let refused = Smtp::new(&plan, None, clock()).unwrap_err();
    assert_eq!(refused, SmtpSetupError::PlaintextCredentials);
}

#[tokio::test]
async fn roots_that_cannot_be_used_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("roots.pem");
    let opened = async |content: &str| {
        std::fs::write(&ca_file, content).unwrap();
        let smtp = SmtpPlan { ca_file: Some(ca_file.clone()), ..smtp_plan(25, SmtpTls::StartTls) };
        from_plan(&plan(MailTransport::Smtp(smtp)), folder.path(), clock() as Arc<dyn Clock>).await
    };
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for content in ["", "no certificate", broken] {
        let outcome = opened(content).await;
        assert!(matches!(outcome, Err(TransportError::Smtp(SmtpSetupError::Roots(_)))), "{content}: {outcome:?}");
    }
    assert!(opened(&Certified::new("localhost").authority).await.is_ok());
    let missing = SmtpPlan { ca_file: Some("/nonexistent".into()), ..smtp_plan(25, SmtpTls::StartTls) };
    let outcome = from_plan(&plan(MailTransport::Smtp(missing)), Path::new("/"), clock() as Arc<dyn Clock>).await;
    assert!(matches!(outcome, Err(TransportError::Roots { .. })), "{outcome:?}");
}

#[tokio::test]
async fn no_password_is_in_an_error() {
    let secret = "wrong-but-secret";
    // As they travel: PLAIN, and LOGIN.
    let plain = "AHNob3BAZXhhbXBsZS5jb20Ad3JvbmctYnV0LXNlY3JldA==";
    let login = "d3JvbmctYnV0LXNlY3JldA==";
    for (mechanism, echo) in [
        (Mechanism::Plain, "535 5.7.8 not you: AHNob3BAZXhhbXBsZS5jb20Ad3JvbmctYnV0LXNlY3JldA=="),
        (Mechanism::Login, "535 5.7.8 not you: wrong-but-secret"),
    ] {
        for echoes in [false, true] {
            let (server, plan, _folder) = secured(Encryption::StartTls, mechanism).await;
            if echoes {
                server.fault(Stage::Auth, "", Fault::Say(echo));
            }
            let plan = SmtpPlan { credentials: credentials(secret), ..plan };
            let debugged = format!("{plan:?}");
            let mailer = open(plan).await;
            let error = mailer.send(message("secret").into()).await.unwrap_err();
            assert!(matches!(&error, MailError::Temporary(why) if why.contains("535")), "{error:?}");
            for text in [debugged, format!("{mailer:?}"), format!("{error} {error:?}")] {
                assert!(![secret, plain, login].iter().any(|form| text.contains(form)), "{text}");
            }
            assert!(!error.to_string().contains(USER), "{error}");
            assert!(!server.lines().iter().any(|line| line.starts_with("MAIL")));
        }
    }
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let (server, plan, _folder) = secured(Encryption::StartTls, Mechanism::Plain).await;
    let mailer = open(plan).await;
    for number in 0..5 {
        mailer.send(message(&format!("m{number}")).into()).await.unwrap();
    }
    assert_eq!((server.mails().len(), server.connections()), (5, 1));
}

#[tokio::test]
async fn no_more_connections_are_opened_than_there_may_be() {
    let (server, plan, _folder) = secured(Encryption::Implicit, Mechanism::Plain).await;
    let mailer = open(SmtpPlan { connections: 3, ..plan }).await;
    let sending = (0..30).map(|number| {
        let mailer = Arc::clone(&mailer);
        async move { mailer.send(message(&format!("m{number}")).into()).await }
    });
    for sent in futures::future::join_all(sending).await {
        sent.unwrap();
    }
    assert_eq!(server.mails().len(), 30);
    assert!((2..=3).contains(&server.most()), "{} at a time", server.most());
    assert!(server.connections() <= 3);
}

#[tokio::test]
async fn a_connection_that_the_server_has_closed_meanwhile_is_replaced() {
    let (server, plan) = plain().await;
    let mailer = open(plan).await;
    mailer.send(message("first").into()).await.unwrap();
    // As it is with a server that closes what rests: the next command finds nobody.
    server.fault(Stage::Noop, "", Fault::Say("421 4.4.2 idle for too long"));
    mailer.send(message("second").into()).await.unwrap();
    server.fault(Stage::Noop, "", Fault::Cut);
    mailer.send(message("third").into()).await.unwrap();
    assert_eq!((server.mails().len(), server.connections()), (3, 3));
}

#[tokio::test]
async fn nobody_gets_the_answers_of_one_who_went_away() {
    let (server, plan) = plain().await;
    let mailer = open(SmtpPlan { connections: 1, ..plan }).await;
    for stage in [Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Message] {
        server.fault(stage, "", Fault::Late(Duration::from_millis(150)));
        let left = tokio::time::timeout(Duration::from_millis(50), mailer.send(message("left").into())).await;
        assert!(left.is_err(), "{stage:?}");
        // This one is refused; a good answer would be one to the mail before it.
        server.fault(Stage::Mail, "", Fault::Say("550 5.7.1 no"));
        let refused = mailer.send(message("refused").into()).await;
        assert!(
            matches!(&refused, Err(MailError::Permanent(why)) if why.contains("5.7.1 no")),
            "{stage:?}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn connections_are_closed_with_their_way_out() {
    let (server, plan) = plain().await;
    let mailer = open(plan).await;
    mailer.send(message("only").into()).await.unwrap();
    server.until_open(1).await;
    drop(mailer);
    server.until_open(0).await;
}
