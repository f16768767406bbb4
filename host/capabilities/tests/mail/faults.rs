//! What a server's refusal, silence or absence leads to, at every point of a conversation.

use std::time::Duration;

use chassis_capabilities::mail::{MailError, Message};
use chassis_config::plan::{SmtpPlan, SmtpTls};
use tokio::time::timeout;

use crate::server::{Encryption, Fault, Kind, Mechanism, Server, Stage};
use crate::{message, open, plain, secured, smtp_plan};

const BEFORE_MAIL: [Stage; 4] = [Stage::Connect, Stage::Ehlo, Stage::StartTls, Stage::Auth];
const FROM_MAIL_ON: [Stage; 4] = [Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Message];
const STEP: Duration = Duration::from_millis(300);
/// A guard against hanging: nothing here takes so long, on however busy a machine.
const HANG: Duration = Duration::from_secs(30);

/// What a message meets at `stage`; and that the next try of the same one is sent.
async fn meets(stage: Stage, fault: Fault) -> MailError {
    let (server, plan, _folder) = secured(Encryption::StartTls, Mechanism::Plain).await;
    let mailer = open(SmtpPlan { timeout: STEP, ..plan }).await;
    server.fault(stage, "", fault);
    let tried = timeout(HANG, mailer.send(message("try").into())).await;
    let error = tried.unwrap_or_else(|_| panic!("{stage:?} {fault:?}: it hangs")).unwrap_err();
    let before = server.mails().len();
    mailer.send(message("try").into()).await.unwrap_or_else(|error| panic!("{stage:?} {fault:?}: {error}"));
    let mails = server.mails();
    assert_eq!(mails.len(), before + 1);
    for mail in mails {
        let text = String::from_utf8(mail.bytes).unwrap();
        assert!(text.contains("Message-ID: <notifications.try@example.com>\r\n"), "{text}");
    }
    error
}

#[tokio::test]
async fn a_4xx_is_temporary_wherever_it_is_said() {
    for stage in BEFORE_MAIL.into_iter().chain(FROM_MAIL_ON) {
        let error = meets(stage, Fault::Say("451 4.3.0 come back later")).await;
        assert!(matches!(&error, MailError::Temporary(why) if why.contains("451")), "{stage:?}: {error:?}");
    }
    for stage in FROM_MAIL_ON {
        let error = meets(stage, Fault::Say("421 4.3.2 closing")).await;
        assert!(matches!(&error, MailError::Temporary(why) if why.contains("421")), "{stage:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_5xx_is_permanent_once_it_is_about_the_message() {
    for stage in FROM_MAIL_ON {
        let error = meets(stage, Fault::Say("554 5.7.1 never")).await;
        assert!(matches!(&error, MailError::Permanent(why) if why.contains("5.7.1 never")), "{stage:?}: {error:?}");
    }
    for stage in BEFORE_MAIL {
        let error = meets(stage, Fault::Say("554 5.7.1 not here")).await;
        assert!(matches!(&error, MailError::Temporary(why) if why.contains("554")), "{stage:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_5xx_about_the_conversation_is_temporary() {
    for words in ["503 5.5.1 bad sequence", "530 5.7.0 authentication required"] {
        for stage in FROM_MAIL_ON {
            let error = meets(stage, Fault::Say(words)).await;
            assert!(matches!(&error, MailError::Temporary(_)), "{stage:?} {words}: {error:?}");
        }
    }
}

#[tokio::test]
async fn silence_is_temporary_and_ends_in_time() {
    for stage in BEFORE_MAIL.into_iter().chain(FROM_MAIL_ON) {
        let error = meets(stage, Fault::Hang).await;
        assert!(matches!(&error, MailError::Temporary(why) if why.contains("no answer")), "{stage:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_cut_connection_is_temporary() {
    for stage in BEFORE_MAIL.into_iter().chain(FROM_MAIL_ON) {
        let error = meets(stage, Fault::Cut).await;
        assert!(matches!(&error, MailError::Temporary(_)), "{stage:?}: {error:?}");
    }
}

#[tokio::test]
async fn nonsense_is_temporary() {
    for words in ["what?", "250", "250 ok\r\n250 ok", "\u{0}\u{1}\u{2}", "999 beyond", "250-never\r\n354 ends"] {
        for stage in FROM_MAIL_ON {
            let (server, plan) = plain().await;
            let mailer = open(SmtpPlan { timeout: STEP, ..plan }).await;
            server.fault(stage, "", Fault::Say(words));
            match mailer.send(message("try").into()).await {
                Err(MailError::Temporary(_)) => {}
                // A bare code, and an answer with another one behind it, are answers where a 250 was due.
                Ok(_) if stage == Stage::Message && words.starts_with("250") => {}
                other => panic!("{stage:?} {words:?}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_hang_after_data_may_leave_a_copy_and_both_have_one_message_id() {
    let (server, plan) = plain().await;
    let mailer = open(SmtpPlan { timeout: STEP, ..plan }).await;
    server.fault(Stage::Message, "", Fault::Hang);
    assert!(matches!(mailer.send(message("twice").into()).await, Err(MailError::Temporary(_))));
    mailer.send(message("twice").into()).await.unwrap();
    let mails = server.mails();
    assert_eq!(mails.len(), 2, "the server had taken the first, and could not say so");
    for mail in mails {
        assert!(String::from_utf8(mail.bytes).unwrap().contains("Message-ID: <notifications.twice@example.com>\r\n"));
    }
}

#[tokio::test]
async fn the_time_of_a_whole_mail_is_bounded_too() {
    let (server, plan) = plain().await;
    let step = Duration::from_secs(30);
    let total = Duration::from_millis(700);
    let mailer = open(SmtpPlan { timeout: step, total_timeout: total, connections: 1, ..plan }).await;
    for _ in 0..20 {
        server.fault(Stage::Rcpt, "", Fault::Late(Duration::from_millis(200)));
    }
    let slow = Message { to: (0..20).map(|n| format!("r{n}@example.org")).collect(), ..message("slow") };
    // The second one waits for the place of the first, which counts.
    let both = async { tokio::join!(mailer.send(slow.clone().into()), mailer.send(slow.clone().into())) };
    let (first, second) = timeout(HANG, both).await.unwrap();
    for outcome in [first, second] {
        assert!(matches!(&outcome, Err(MailError::Temporary(why)) if why.contains("700ms")), "{outcome:?}");
    }
    assert_eq!(server.mails().len(), 0);
}

#[tokio::test]
async fn a_mail_goes_to_all_of_its_recipients_or_to_none() {
    let to = ["ada@example.org", "bad@example.org", "full@example.org"].map(str::to_owned).to_vec();
    let sent = Message { to, ..message("several") };
    let (server, plan) = plain().await;
    let mailer = open(plan).await;
    server.fault(Stage::Rcpt, "full@", Fault::Say("452 4.2.2 mailbox full"));
    let error = mailer.send(sent.clone().into()).await.unwrap_err();
    assert!(matches!(&error, MailError::Temporary(why) if why.contains("full@example.org")), "{error:?}");
    server.fault(Stage::Rcpt, "full@", Fault::Say("452 4.2.2 mailbox full"));
    server.fault(Stage::Rcpt, "bad@", Fault::Say("550 5.1.1 no such user"));
    let error = mailer.send(sent.clone().into()).await.unwrap_err();
    let MailError::Permanent(why) = error else { panic!("{error:?}") };
    assert!(why.contains("bad@example.org") && why.contains("full@example.org") && !why.contains("ada@"), "{why}");
    assert_eq!(server.mails().len(), 0, "nobody was sent anything");
    mailer.send(sent.clone().into()).await.unwrap();
    assert_eq!(server.mails()[0].to, sent.to);
}

#[tokio::test]
async fn an_outage_is_temporary_for_as_long_as_it_lasts() {
    let reserved = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = reserved.local_addr().unwrap().port();
    drop(reserved);
    let mailer = open(SmtpPlan { timeout: STEP, ..smtp_plan(port, SmtpTls::None) }).await;
    for _ in 0..12 {
        assert!(matches!(mailer.send(message("patient").into()).await, Err(MailError::Temporary(_))));
    }
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let server = Server::on(listener, Kind { encryption: Encryption::None, mechanism: None }, None);
    mailer.send(message("patient").into()).await.unwrap();
    let mails = server.mails();
    assert_eq!(mails.len(), 1);
    assert!(String::from_utf8(mails[0].bytes.clone()).unwrap().contains("<notifications.patient@example.com>"));
}

#[tokio::test]
async fn a_server_that_never_takes_leave_delays_nobody() {
    let (server, plan) = plain().await;
    // Whoever waited for the leave would wait for this long.
    let mailer = open(SmtpPlan { timeout: 10 * HANG, total_timeout: 10 * HANG, ..plan }).await;
    server.fault(Stage::Other, "QUIT", Fault::Hang);
    server.fault(Stage::Mail, "", Fault::Say("550 5.7.1 no"));
    let refused = timeout(HANG, mailer.send(message("no").into())).await.unwrap();
    assert!(matches!(refused, Err(MailError::Permanent(_))), "{refused:?}");
}
