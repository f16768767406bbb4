//! The measurements, each a story of its own.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::figures::{Aim, Figure, Spread, Unit};
use super::load::{Load, command_line};
use super::machine::{has_children, processor_seconds, resident_megabytes};
use super::report::{Report, Series, Trial};
use super::server::{Answer, Ask, Client, Server};
use super::stage::Stage;

/// Load before each measured run: code and caches get warm, and the host learns who is in good standing.
const WARM_UP: Duration = Duration::from_secs(3);
/// Endless loops beside the neighbour.
const LOOPS: usize = 4;
/// Time in which the host finds out who loops.
const SETTLING: Duration = Duration::from_secs(2);
/// Time without requests after which a process counts as idle.
const IDLE: Duration = Duration::from_secs(15);
/// Time for a compiling child to end.
const COMPILER_TIMEOUT: Duration = Duration::from_secs(60);
/// Starts that are timed at least: one takes half a second.
const STARTS_MIN: usize = 5;

/// What all measurements work with.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) load: Load,
    pub(crate) client: Client,
    pub(crate) stage: Stage,
    /// Time of one measured run.
    pub(crate) time: Duration,
    /// Measured runs of each contender.
    pub(crate) runs: usize,
}

/// The processes that answer the same requests, side by side.
#[derive(Debug)]
pub(crate) struct Twins {
    native: Server,
    reused: Server,
    fresh: Server,
}

/// A request that all contenders answer.
#[derive(Debug)]
struct Comparison {
    what: &'static str,
    ask: Ask,
    /// What the reused component should reach, as a part of the native rate.
    reused_aim: f64,
}

/// One of those that are compared.
#[derive(Debug)]
struct Contender {
    name: &'static str,
    url: String,
    process: u32,
}

const BARE: &str = "native, no layers";
const NATIVE: &str = "native";
const REUSED: &str = "component, reused";
const FRESH: &str = "component, fresh";

impl Twins {
    pub(crate) fn start(bench: &Bench, report: &mut Report) -> anyhow::Result<Self> {
        for state in ["native", "reused", "fresh"] {
            bench.stage.copy_state(state)?;
        }
        let twins = Self {
            native: bench.stage.native("native")?,
            reused: bench.stage.host("shared", "reused")?,
            fresh: bench.stage.host("request", "fresh")?,
        };
        for (name, server) in [(NATIVE, &twins.native), (REUSED, &twins.reused), (FRESH, &twins.fresh)] {
            report.process(name, &server.command);
        }
        Ok(twins)
    }

    fn contenders(&self) -> anyhow::Result<Vec<Contender>> {
        let contender = |name, server: &Server, url: &str| {
            anyhow::Ok(Contender { name, url: server.url(url)?.to_owned(), process: server.id() })
        };
        Ok(vec![
            contender(BARE, &self.native, "bare")?,
            contender(NATIVE, &self.native, "gateway")?,
            contender(REUSED, &self.reused, "gateway")?,
            contender(FRESH, &self.fresh, "gateway")?,
        ])
    }
}

impl Bench {
    /// The greeting, natively and through a component.
    pub(crate) fn hello(&self, twins: &Twins, report: &mut Report) -> anyhow::Result<()> {
        self.compare(twins, &Comparison { what: "hello", ask: Stage::hello(), reused_aim: 0.3 }, report)
    }

    /// Todos read from SQLite with their token check, natively and through components.
    pub(crate) fn todos(&self, twins: &Twins, report: &mut Report) -> anyhow::Result<()> {
        for (what, ask) in [("todos, one read", self.stage.read()), ("todos, a page of 20 listed", self.stage.list())] {
            self.compare(twins, &Comparison { what, ask, reused_aim: 0.5 }, report)?;
        }
        Ok(())
    }

    fn compare(&self, twins: &Twins, comparison: &Comparison, report: &mut Report) -> anyhow::Result<()> {
        let Comparison { what, ask, reused_aim } = comparison;
        let contenders = twins.contenders()?;
        let expected = self.agree(&contenders, ask)?;
        let mut series: Vec<Series> = contenders.iter().map(|contender| Series::new(contender.name)).collect();
        for _round in 0..self.runs {
            for (contender, series) in contenders.iter().zip(&mut series) {
                eprintln!("{what}: {}", contender.name);
                self.load.run(&contender.url, ask, &expected, WARM_UP)?;
                let before = processor_seconds(contender.process)?;
                let run = self.load.run(&contender.url, ask, &expected, self.time)?;
                series.push_with_processor(run, processor_seconds(contender.process)? - before);
            }
        }
        // Those who were right at the end were right in between, as far as the length of each answer can tell.
        ensure!(self.agree(&contenders, ask)? == expected, "{what}: the answer has changed");
        let rates = |name: &str| series.iter().find(|series| series.name == name).map(Series::rates);
        let ratio = |part: &str, whole: &str| {
            let spread = rates(part).zip(rates(whole)).and_then(|(part, whole)| Spread::of_ratios(&part, &whole));
            spread.with_context(|| format!("{what}: no figures of {part} and {whole}"))
        };
        let reused = Figure::new(
            format!("{what}: reused component against native"),
            Unit::Part,
            ratio(REUSED, NATIVE)?,
            Aim::AtLeast(*reused_aim),
        );
        let fresh = Figure::new(
            format!("{what}: fresh instance against reused"),
            Unit::Part,
            ratio(FRESH, REUSED)?,
            Aim::AtLeast(0.5),
        );
        let commands = contenders.iter().map(|it| command_line(&it.url, ask, self.time)).collect();
        report.trial(Trial { what, commands, series });
        report.figure(reused);
        report.figure(fresh);
        Ok(())
    }

    /// The one answer of all contenders. Without layers there are fewer fields, but the same status and body.
    fn agree(&self, contenders: &[Contender], ask: &Ask) -> anyhow::Result<Answer> {
        let mut agreed: Option<Answer> = None;
        for contender in contenders {
            let answer = self.client.ask(&contender.url, ask)?;
            ensure!(answer.status == 200, "{}: {} {}", contender.name, answer.status, answer.body);
            let Some(known) = &agreed else {
                agreed = Some(answer);
                continue;
            };
            ensure!(answer.body == known.body, "{}: «{}» is not «{}»", contender.name, answer.body, known.body);
            let same_layers = known.headers == answer.headers;
            let bare = !known.headers.iter().any(|(name, _)| name == "x-content-type-options");
            ensure!(same_layers || bare, "{}: {:?} are not {:?}", contender.name, answer.headers, known.headers);
            agreed = Some(answer);
        }
        agreed.context("nobody was asked")
    }

    /// A greeting, with and without endless loops of a component beside it that the host has never seen before: each
    /// run has a host of its own.
    pub(crate) fn neighbour(&self, report: &mut Report) -> anyhow::Result<()> {
        let ask = Stage::hello();
        let (mut without, mut with) = (Series::new("alone"), Series::new("beside 4 endless loops"));
        let mut commands = Vec::new();
        for _round in 0..self.runs {
            for loops in [0, LOOPS] {
                eprintln!("a neighbour of {loops} endless loops");
                let host = self.stage.host("loops", "loops")?;
                let gateway = host.url("gateway")?;
                let expected = self.client.ask(gateway, &ask)?;
                ensure!(expected.status == 200, "{}: {}", expected.status, expected.body);
                self.load.run(gateway, &ask, &expected, WARM_UP)?;
                let running = Loops::start(gateway, loops);
                std::thread::sleep(SETTLING);
                let run = self.load.run(gateway, &ask, &expected, self.time)?;
                running.still_run()?;
                if loops == 0 {
                    without.push(run)
                } else {
                    with.push(run)
                }
                commands = vec![host.command.clone(), command_line(gateway, &ask, self.time)];
            }
        }
        let ratio = Spread::of_ratios(&with.p99s(), &without.p99s()).context("no figures of the neighbour")?;
        let what = "p99 of hello beside 4 endless loops, after 2 s, against alone";
        report.figure(Figure::new(what, Unit::Times, ratio, Aim::AtMost(2.0)));
        report.trial(Trial { what: "hello, and a new component that loops", commands, series: vec![without, with] });
        Ok(())
    }

    /// Memory of a host that serves the shipped application and has nothing to do.
    pub(crate) fn memory(&self, report: &mut Report) -> anyhow::Result<()> {
        let ask = self.stage.list();
        let (mut started, mut worked) = (Vec::new(), Vec::new());
        for _round in 0..self.runs {
            eprintln!("memory of an idle host");
            self.stage.copy_state("memory")?;
            let host = self.stage.host("shipped", "memory")?;
            let gateway = host.url("gateway")?;
            started.push(idle_megabytes(&host)?);
            let expected = self.client.ask(gateway, &ask)?;
            self.load.run(gateway, &ask, &expected, self.time)?;
            worked.push(idle_megabytes(&host)?);
        }
        for (what, values) in [
            ("resident memory with the shipped application, after its start", started),
            ("resident memory with the shipped application, after load", worked),
        ] {
            let spread = Spread::of(&values).context("no figures of memory")?;
            report.figure(Figure::new(what, Unit::Megabytes, spread, Aim::Below(100.0)));
        }
        Ok(())
    }

    /// From the start of the process to its first answer, with everything compiled before.
    pub(crate) fn start(&self, report: &mut Report) -> anyhow::Result<()> {
        self.stage.copy_state("start")?;
        let ask = self.stage.list();
        let mut times = Vec::new();
        for _round in 0..self.runs.max(STARTS_MIN) {
            eprintln!("first answer from the warm cache");
            let begin = Instant::now();
            let host = self.stage.host("shipped", "start")?;
            let answer = self.client.ask(host.url("gateway")?, &ask)?;
            times.push(begin.elapsed().as_secs_f64());
            ensure!(answer.status == 200, "{}: {}", answer.status, answer.body);
            host.stop()?;
        }
        let spread = Spread::of(&times).context("no figures of starts")?;
        let what = "first page of todos, from the start of the process, warm cache";
        report.figure(Figure::new(what, Unit::Seconds, spread, Aim::Below(1.0)));
        Ok(())
    }
}

/// Memory of a host that has had nothing to do for a while, without its compiling child.
fn idle_megabytes(host: &Server) -> anyhow::Result<f64> {
    let begin = Instant::now();
    while has_children(host.id())? {
        ensure!(begin.elapsed() < COMPILER_TIMEOUT, "the compiler does not end");
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(IDLE);
    resident_megabytes(host.id())
}

/// Requests that never end by themselves.
#[derive(Debug)]
struct Loops {
    ended: mpsc::Receiver<String>,
}

impl Loops {
    /// Each on a thread, which ends with its host.
    fn start(gateway: &str, count: usize) -> Self {
        let (sender, ended) = mpsc::sync_channel(count);
        for _ in 0..count {
            let (sender, url) = (sender.clone(), format!("{gateway}/spin"));
            std::thread::spawn(move || {
                let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
                let answer = agent.get(&url).call().map(|answer| answer.status().to_string());
                let _nobody_asks = sender.send(answer.unwrap_or_else(|error| error.to_string()));
            });
        }
        Self { ended }
    }

    /// A loop that was answered would not have been a neighbour to the end.
    fn still_run(&self) -> anyhow::Result<()> {
        let answered: Vec<String> = self.ended.try_iter().collect();
        ensure!(answered.is_empty(), "endless loops were answered: {answered:?}");
        Ok(())
    }
}
