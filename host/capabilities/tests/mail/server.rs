//! An SMTP server on real sockets. The protocol is `mailin`'s; what is ours is the transport, and the faults.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mailin::{Action, AuthMechanism, Handler, Response, Session, SessionBuilder, response};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use crate::certificates::Certified;

pub(crate) const USER: &str = "shop@example.com";
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// How a server is to be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encryption {
    None,
    StartTls,
    Implicit,
}

/// A point of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Connect,
    Ehlo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    /// The last line of a message has come.
    Message,
    Noop,
    Other,
}

/// What a server does instead of answering.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Say this, and nothing else.
    Say(&'static str),
    /// Answer, and put this behind it in the same packet.
    Append(&'static str),
    /// Answer only after so long.
    Late(Duration),
    /// Never answer.
    Hang,
    /// Close the connection.
    Cut,
}

/// A mail that was accepted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Received {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) encryption: Encryption,
    pub(crate) mechanism: Option<Mechanism>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Mechanism {
    Plain,
    Login,
}

struct State {
    kind: Kind,
    tls: Option<tokio_rustls::TlsAcceptor>,
    mails: Mutex<Vec<Received>>,
    faults: Mutex<Vec<(Stage, &'static str, Fault)>>,
    lines: Mutex<Vec<String>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    most: AtomicUsize,
}

pub(crate) struct Server {
    pub(crate) port: u16,
    state: Arc<State>,
    _accepting: AbortOnDropHandle<()>,
}

impl Server {
    pub(crate) async fn start(kind: Kind, certified: Option<&Certified>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        Self::on(listener, kind, certified)
    }

    pub(crate) fn on(listener: TcpListener, kind: Kind, certified: Option<&Certified>) -> Self {
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            kind,
            tls: certified.map(Certified::acceptor),
            mails: Mutex::default(),
            faults: Mutex::default(),
            lines: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { port, state, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// Do this once, when `stage` is reached with a line that contains `needle`.
    pub(crate) fn fault(&self, stage: Stage, needle: &'static str, fault: Fault) {
        self.state.faults.lock().unwrap().push((stage, needle, fault));
    }

    pub(crate) fn mails(&self) -> Vec<Received> {
        self.state.mails.lock().unwrap().clone()
    }

    /// Every line that clients have sent, but for those of messages.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.state.lines.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// The most connections that were open at a time.
    pub(crate) fn most(&self) -> usize {
        self.state.most.load(Ordering::SeqCst)
    }

    /// Wait until so many connections are open.
    pub(crate) async fn until_open(&self, count: usize) {
        for _ in 0..500 {
            if self.state.open.load(Ordering::SeqCst) == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} connections are open, not {count}", self.state.open.load(Ordering::SeqCst));
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    // Dropped with the server: its connections are cut.
    let mut conversations = tokio::task::JoinSet::new();
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        conversations.spawn(async move {
            state.connections.fetch_add(1, Ordering::SeqCst);
            let open = state.open.fetch_add(1, Ordering::SeqCst) + 1;
            state.most.fetch_max(open, Ordering::SeqCst);
            // Clients may leave as they like.
            let _ended = converse(tcp, &state).await;
            state.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}
type Wire = BufReader<Box<dyn Stream>>;

async fn converse(tcp: TcpStream, state: &State) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let draft = Arc::new(Mutex::new(Received::default()));
    let mut session = session(state, &draft);
    let mut wire: Wire = if state.kind.encryption == Encryption::Implicit {
        session.tls_active();
        BufReader::new(Box::new(state.tls.as_ref().unwrap().accept(tcp).await?))
    } else {
        BufReader::new(Box::new(tcp))
    };
    answer(&mut wire, state, (Stage::Connect, ""), &session.greeting()).await?;
    let (mut in_message, mut line) = (false, Vec::new());
    loop {
        line.clear();
        if wire.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let stage = if in_message { Stage::Message } else { stage_of(&text) };
        if in_message && line != b".\r\n" {
            session.process(&line);
            continue;
        }
        if !in_message {
            state.lines.lock().unwrap().push(text.clone());
        }
        let fault = take(state, stage, &text);
        if let Some(Fault::Say(words)) = fault {
            if in_message {
                // The session has to leave the message too; what it would answer is not said.
                session.process(&line);
                in_message = false;
            }
            wire.write_all(words.as_bytes()).await?;
            wire.write_all(b"\r\n").await?;
            if words.starts_with("421") {
                return Ok(());
            }
            continue;
        }
        let said = session.process(&line);
        if in_message {
            state.mails.lock().unwrap().push(std::mem::take(&mut draft.lock().unwrap()));
        }
        in_message = said.code == 354;
        send(&mut wire, fault, &said).await?;
        match said.action {
            Action::Close => return Ok(()),
            Action::UpgradeTls => {
                // Whatever was read ahead of the handshake is lost, as it should be.
                let tcp = wire.into_inner();
                wire = BufReader::new(Box::new(state.tls.as_ref().unwrap().accept(tcp).await?));
                session.tls_active();
            }
            Action::NoReply | Action::Reply => {}
        }
    }
}

async fn answer(wire: &mut Wire, state: &State, (stage, line): (Stage, &str), said: &Response) -> io::Result<()> {
    let fault = take(state, stage, line);
    if let Some(Fault::Say(words)) = fault {
        wire.write_all(format!("{words}\r\n").as_bytes()).await?;
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    send(wire, fault, said).await
}

async fn send(wire: &mut Wire, fault: Option<Fault>, said: &Response) -> io::Result<()> {
    let mut bytes = said.buffer()?;
    match fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Cut) => return Err(io::ErrorKind::ConnectionAborted.into()),
        Some(Fault::Late(pause)) => tokio::time::sleep(pause).await,
        Some(Fault::Append(more)) => bytes.extend_from_slice(more.as_bytes()),
        Some(Fault::Say(_)) | None => {}
    }
    wire.write_all(&bytes).await?;
    wire.flush().await
}

fn take(state: &State, stage: Stage, line: &str) -> Option<Fault> {
    let mut faults = state.faults.lock().unwrap();
    let at = faults.iter().position(|(when, needle, _)| *when == stage && line.contains(needle))?;
    Some(faults.remove(at).2)
}

fn stage_of(line: &str) -> Stage {
    match line.split([' ', ':']).next().unwrap().to_ascii_uppercase().as_str() {
        "EHLO" | "HELO" => Stage::Ehlo,
        "STARTTLS" => Stage::StartTls,
        "AUTH" => Stage::Auth,
        "MAIL" => Stage::Mail,
        "RCPT" => Stage::Rcpt,
        "DATA" => Stage::Data,
        "NOOP" => Stage::Noop,
        _ => Stage::Other,
    }
}

fn session(state: &State, draft: &Arc<Mutex<Received>>) -> Session<Postman> {
    let mut builder = SessionBuilder::new("mx.example.com");
    if state.kind.encryption == Encryption::StartTls {
        builder.enable_start_tls();
    }
    match state.kind.mechanism {
        Some(Mechanism::Plain) => drop(builder.enable_auth(AuthMechanism::Plain)),
        Some(Mechanism::Login) => drop(builder.enable_auth(AuthMechanism::Login)),
        None => {}
    }
    builder.build(IpAddr::V4(Ipv4Addr::LOCALHOST), Postman(Arc::clone(draft)))
}

struct Postman(Arc<Mutex<Received>>);

impl Postman {
    fn admit(user: &str, password: &str) -> Response {
        if user == USER && password == PASSWORD { response::AUTH_OK } else { response::INVALID_CREDENTIALS }
    }
}

impl Handler for Postman {
    fn data_start(&mut self, _domain: &str, from: &str, _is8bit: bool, to: &[String]) -> Response {
        *self.0.lock().unwrap() = Received { from: from.to_owned(), to: to.to_vec(), bytes: Vec::new() };
        response::OK
    }

    fn data(&mut self, line: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().bytes.extend_from_slice(line);
        Ok(())
    }

    fn auth_plain(&mut self, _authorization_id: &str, user: &str, password: &str) -> Response {
        Self::admit(user, password)
    }

    fn auth_login(&mut self, user: &str, password: &str) -> Response {
        Self::admit(user, password)
    }
}
