//! What a letter looks like when it arrives: its head, its parts, its lines; and what never becomes one.

use chassis_capabilities::mail::{MailError, Message};
use mailparse::{MailHeaderMap, ParsedMail};

use crate::server::Received;
use crate::{message, open, plain};

/// Messages with a line break, or worse, in some field of the head.
pub(crate) fn injections() -> Vec<Message> {
    let mut all = Vec::new();
    for evil in [
        "\r\nBcc: eve@example.net",
        "\nBcc: eve@example.net",
        "\rBcc: eve@example.net",
        "\r\n\r\n<h1>",
        "\0",
        "\u{1b}[2J",
    ] {
        let plain = message("evil");
        let with = |text: &str| format!("{text}{evil}");
        all.push(Message { subject: with("Hello"), ..plain.clone() });
        all.push(Message { from: with("no-reply@example.com"), ..plain.clone() });
        all.push(Message { to: vec!["ada@example.org".to_owned(), with("bob@example.org")], ..plain.clone() });
        all.push(Message { to: vec![format!("\"bob{evil}\"@example.org")], ..plain.clone() });
        all.push(Message { reply_to: Some(with("help@example.com")), ..plain.clone() });
        all.push(Message { message_id: with("a.b@example.com"), ..plain });
    }
    let plain = message("evil");
    all.push(Message { from: "Shop <no-reply@example.com>".to_owned(), ..plain.clone() });
    all.push(Message { to: vec!["ada@example.org> SIZE=1 <eve@example.net".to_owned()], ..plain.clone() });
    all.push(Message { to: Vec::new(), ..plain.clone() });
    all.push(Message { to: vec!["ädä@example.org".to_owned()], ..plain.clone() });
    all.push(Message { message_id: "no-domain".to_owned(), ..plain.clone() });
    all.push(Message { message_id: "a@b>@c".to_owned(), ..plain.clone() });
    all.push(Message { text: "nul\0".to_owned(), ..plain });
    all
}

/// Send one message and give back how it came in.
async fn arrived(message: Message) -> Received {
    let (server, plan) = plain().await;
    open(plan).await.send(message.into()).await.unwrap();
    let mut mails = server.mails();
    assert_eq!(mails.len(), 1);
    mails.remove(0)
}

fn header(mail: &ParsedMail<'_>, name: &str) -> String {
    let all = mail.headers.get_all_values(name);
    assert_eq!(all.len(), 1, "{name}: {all:?}");
    all[0].clone()
}

fn body(mail: &ParsedMail<'_>) -> String {
    mail.get_body().unwrap().replace("\r\n", "\n").trim_end().to_owned()
}

#[tokio::test]
async fn a_letter_has_the_head_that_it_should_have() {
    let received = arrived(Message {
        to: vec!["ada@example.org".to_owned(), "bob@example.org".to_owned()],
        reply_to: Some("help@example.com".to_owned()),
        ..message("todo-7")
    })
    .await;
    assert_eq!(received.from, "no-reply@example.com");
    assert_eq!(received.to, ["ada@example.org", "bob@example.org"]);
    let mail = mailparse::parse_mail(&received.bytes).unwrap();
    assert_eq!(header(&mail, "Message-ID"), "<notifications.todo-7@example.com>");
    assert_eq!(header(&mail, "From"), "no-reply@example.com");
    assert_eq!(header(&mail, "To"), "ada@example.org, bob@example.org");
    assert_eq!(header(&mail, "Reply-To"), "help@example.com");
    assert_eq!(header(&mail, "Subject"), "Welcome");
    assert_eq!(header(&mail, "Date"), "Sun, 15 Jun 2025 12:00:00 +0000");
    assert_eq!(header(&mail, "MIME-Version"), "1.0");
    assert_eq!(mail.headers.get_all_values("Bcc").len(), 0);
    assert_eq!(mail.ctype.mimetype, "text/plain");
    assert_eq!(body(&mail), "Hello Ada!");
}

#[tokio::test]
async fn text_and_html_are_alternatives_and_may_be_in_any_script() {
    let subject = "Grüße — ご登録ありがとうございます — добро пожаловать ✉".repeat(3);
    let text = "Zażółć gęślą jaźń\n\nこんにちは、エイダ。\n";
    let html = "<p>Привет, <b>Ада</b> 👋</p>";
    let received = arrived(Message {
        subject: subject.clone(),
        text: text.to_owned(),
        html: Some(html.to_owned()),
        ..message("unicode")
    })
    .await;
    assert!(received.bytes.is_ascii(), "no server on the way needs to know more");
    assert!(received.bytes.split(|b| *b == b'\n').all(|line| line.len() <= 998));
    let mail = mailparse::parse_mail(&received.bytes).unwrap();
    assert_eq!(header(&mail, "Subject"), subject);
    assert_eq!(mail.ctype.mimetype, "multipart/alternative");
    let kinds: Vec<&str> = mail.subparts.iter().map(|part| part.ctype.mimetype.as_str()).collect();
    assert_eq!(kinds, ["text/plain", "text/html"], "what is to be preferred comes last");
    assert_eq!(body(&mail.subparts[0]), text.trim_end());
    assert_eq!(body(&mail.subparts[1]), html);
}

#[tokio::test]
async fn dots_and_long_lines_arrive_as_they_were_written() {
    let long = "x".repeat(5_000);
    for text in [
        ".\n..\n...\n.hidden\nend".to_owned(),
        "first\n.\nMAIL FROM:<eve@example.net>\nDATA\nsmuggled\n.\nlast".to_owned(),
        format!("{long}\n.{long}\n.\nend"),
        format!("{long} ü\n.\n"),
        "a\r\n.\r\nb".to_owned(),
        ".".to_owned(),
        String::new(),
        "\n\n.\n\n".to_owned(),
        "trailing blanks   \n\t\n=3D and =\n".to_owned(),
    ] {
        let (server, plan) = plain().await;
        let mailer = open(plan).await;
        let sent = Message { text: text.clone(), html: Some(text.clone()), ..message("dots") };
        mailer.send(sent.into()).await.unwrap();
        mailer.send(message("after").into()).await.unwrap();
        let mails = server.mails();
        assert_eq!(mails.len(), 2, "one message is one message: {text:?}");
        assert!(mails[0].bytes.split(|b| *b == b'\n').all(|line| line.len() <= 1000));
        let mail = mailparse::parse_mail(&mails[0].bytes).unwrap();
        for part in &mail.subparts {
            assert_eq!(body(part), text.replace("\r\n", "\n").trim_end(), "{text:?}");
        }
    }
}

#[tokio::test]
async fn a_lone_carriage_return_ends_no_message() {
    let smuggled = "a\r.\rMAIL FROM:<eve@example.net>\r\n.\rb\n.\r\nc";
    let received = arrived(Message { text: smuggled.to_owned(), ..message("cr") }).await;
    let lone = received.bytes.windows(2).any(|pair| (pair[0] == b'\r') != (pair[1] == b'\n'));
    assert!(!lone, "every line ends in CR LF, and no CR or LF is anywhere else");
    let mail = mailparse::parse_mail(&received.bytes).unwrap();
    assert_eq!(body(&mail), "a\n.\nMAIL FROM:<eve@example.net>\n.\nb\n.\nc");
}

#[tokio::test]
async fn nothing_can_be_put_into_the_head() {
    let (server, plan) = plain().await;
    let mailer = open(plan).await;
    for refused in injections() {
        let outcome = mailer.send(refused.clone().into()).await;
        assert!(matches!(outcome, Err(MailError::Invalid(_))), "{refused:?}: {outcome:?}");
    }
    assert_eq!(server.connections(), 0, "it is refused before a server hears of it");
}
