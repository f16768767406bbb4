//! Where mail goes.

use std::net::IpAddr;
use std::time::Duration;

use super::limits::{gib, kib, mib};
use super::section::Section;
use crate::plan::{MailPlan, MailTransport, SmtpCredentials, SmtpPlan, SmtpTls};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mailbox,
    Smtp,
}

pub(super) fn mail(root: &Section<'_>) -> MailPlan {
    let section = root.child("mail");
    let kind = section.choice("transport", Kind::Mailbox, &[("mailbox", Kind::Mailbox), ("smtp", Kind::Smtp)]);
    let message_id_domain = section.text("message_id_domain", "localhost");
    if !is_domain(&message_id_domain) {
        section.error("message_id_domain", "is not a domain name", "write one such as mail.example.com");
    }
    let default_from = section.text("default_from", "no-reply@localhost");
    if !is_address(&default_from) {
        section.error("default_from", "is not a mail address", "write one such as no-reply@example.com");
    }
    let recipients = section.count("recipients", 50, 1..=10_000);
    let message_bytes = section.size("message_bytes", mib(10), kib(1)..=mib(256));
    let queue_bytes = section.size("queue_bytes", mib(64), kib(1)..=gib(64));
    // Both are read whichever is chosen, so that a mistake is found before it is needed.
    let mailbox = mailbox(section.child("mailbox"));
    let smtp = smtp(section.child("smtp"), kind);
    section.finish();
    let transport = match (kind, smtp) {
        (Kind::Smtp, Some(smtp)) => MailTransport::Smtp(smtp),
        (Kind::Mailbox, _) | (Kind::Smtp, None) => mailbox,
    };
    MailPlan { message_id_domain, default_from, recipients, message_bytes, queue_bytes, transport }
}

fn mailbox(section: Section<'_>) -> MailTransport {
    let transport = MailTransport::Mailbox {
        messages: section.count("messages", 1000, 1..=1_000_000),
        retention: section.duration("retention", 7 * DAY, SECOND..=366 * DAY),
    };
    section.finish();
    transport
}

/// The server, or nothing where it is not named; that is an error where it is needed.
fn smtp(section: Section<'_>, kind: Kind) -> Option<SmtpPlan> {
    let host = section.optional_text("host", "", "host name");
    let encryptions = [("starttls", SmtpTls::StartTls), ("implicit", SmtpTls::Implicit), ("none", SmtpTls::None)];
    let tls = section.choice("tls", SmtpTls::StartTls, &encryptions);
    let port = section.optional_count("port", "587 with starttls, 465 with implicit, 25 with none", 1..=65_535);
    let credentials = credentials(&section);
    let ca_file = section.path("ca_file", "").map(|path| path.value);
    let timeout = section.duration("timeout", 30 * SECOND, SECOND..=600 * SECOND);
    let total_timeout = section.duration("total_timeout", 120 * SECOND, SECOND..=3600 * SECOND);
    let connections = section.count("connections", 4, 1..=256);
    let allow_plaintext = section.flag("allow_plaintext");
    if matches!(kind, Kind::Smtp) && host.is_none() {
        let help = "write it under [mail.smtp], or set CHASSIS_MAIL_SMTP_HOST";
        section.error("host", "is missing, though `mail.transport` is smtp", help);
    }
    if tls == SmtpTls::None && credentials.is_some() {
        section.error(
            "tls",
            "is none, which would show the password to everybody on the way",
            "use starttls or implicit",
        );
    }
    if tls == SmtpTls::None && !allow_plaintext && host.as_deref().is_some_and(|host| !is_loopback(host)) {
        let help = "use starttls or implicit, or set `mail.smtp.allow_plaintext` on a network that you trust";
        section.error("tls", "is none, and the server is not on this machine", help);
    }
    if ca_file.as_ref().is_some_and(|path| !path.is_file()) {
        section.error("ca_file", "is not a file", "");
    }
    section.finish();
    let usual = match tls {
        SmtpTls::StartTls => 587,
        SmtpTls::Implicit => 465,
        SmtpTls::None => 25,
    };
    let port = port.and_then(|port| u16::try_from(port).ok()).unwrap_or(usual);
    Some(SmtpPlan { host: host?, port, tls, credentials, ca_file, timeout, total_timeout, connections })
}

fn credentials(section: &Section<'_>) -> Option<SmtpCredentials> {
    let user = section.optional_text("user", "", "text");
    let password = section.optional_text("password", "", "text; rather by CHASSIS_MAIL_SMTP_PASSWORD");
    match (user, password) {
        (Some(user), Some(password)) => Some(SmtpCredentials { user, password }),
        (None, None) => None,
        (Some(_), None) => {
            section.error("password", "is missing beside `user`", "set CHASSIS_MAIL_SMTP_PASSWORD");
            None
        }
        (None, Some(_)) => {
            section.error("user", "is missing beside `password`", "");
            None
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        plain && !label.is_empty() && label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// Whether a text has the form of a mail address: enough to find a mistake, not a judgement of RFC 5321.
pub(crate) fn is_address(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !"<>()[],;:\\\"@".contains(c);
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    !local.is_empty() && local.len() <= 64 && local.chars().all(plain) && is_domain(domain)
}
