//! `galen testnet fault` and `galen testnet faults`: what can break, one by one or played under load.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use clap::{Args, Subcommand};
use galen_bench::faults::{self, ALL, FaultOptions, Scenario};
use galen_testnet::fault::{self, Fault, Lines};
use galen_testnet::isolation::Isolation;
use galen_testnet::plan::PORT_BASE;
use galen_testnet::{PlanOptions, Testnet, TestnetError};
use galen_types::NodeName;
use serde_json::json;

use super::{DIRECTORY, Place, program};
use crate::error::CliError;
use crate::output::Output;
use crate::progress::spinner;
use crate::time_text::Length;

/// Stands for the node that orders.
const LEADER: &str = "leader";

/// Nodes are named in full, by their member, or `leader`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Some nodes and all others do not hear each other
    Partition {
        /// The nodes of one side
        #[arg(required = true, value_name = "NODE")]
        side: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// One node is not heard by another; the other direction stays
    OneWay {
        /// Who is not heard
        from: String,
        /// By whom
        to: String,
        #[command(flatten)]
        place: Place,
    },
    /// Two nodes do not hear each other; all others hear both
    Cut {
        /// The one
        one: String,
        /// The other
        other: String,
        #[command(flatten)]
        place: Place,
    },
    /// Two sides hear each other through one node alone
    Bridge {
        /// The node that hears both
        over: String,
        /// The nodes of one side; all others are the other
        #[arg(required = true, value_name = "NODE")]
        side: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Pull a node's cable
    LinkDown {
        /// Whose
        node: String,
        #[command(flatten)]
        place: Place,
    },
    /// Let a node's cable carry little
    SlowLink {
        /// Whose
        node: String,
        /// Kilobits a second, each way
        #[arg(long, value_name = "KBIT", default_value_t = 128)]
        rate: u32,
        #[command(flatten)]
        place: Place,
    },
    /// Let a node's process stand still
    Pause {
        /// Whose
        node: String,
        #[command(flatten)]
        place: Place,
    },
    /// Let a node write to its disk only so often
    SlowDisk {
        /// Whose
        node: String,
        /// Writes a second; a sync waits for several
        #[arg(long, value_name = "N", default_value_t = 5)]
        writes: u32,
        #[command(flatten)]
        place: Place,
    },
    /// End every fault
    Heal(Place),
}

/// What is played.
#[derive(Debug, Args)]
pub(crate) struct Play {
    /// The testnet; it is made where it is not there, isolated where that is permitted
    #[arg(long, value_name = "DIR", default_value = "galen-testnet-faults")]
    dir: PathBuf,
    /// The first port of a testnet that is made
    #[arg(long, value_name = "PORT", default_value_t = PORT_BASE)]
    port: u16,
    /// Which; all that there are, each once, when it is not said
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = Scenario::from_str)]
    scenarios: Vec<Scenario>,
    /// Draw scenarios for so long, instead of playing each once
    #[arg(long, value_name = "TIME")]
    duration: Option<Length>,
    /// How long each lasts at least
    #[arg(long, value_name = "TIME", default_value = "6s")]
    hold: Length,
    /// How long a paused leader stands still
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pause: Length,
    /// Transactions a second at each voter
    #[arg(long, default_value_t = 20)]
    rate: u32,
    /// Decides everything that is drawn
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Record every acknowledged transaction in this file
    #[arg(long, value_name = "FILE")]
    acknowledged: Option<PathBuf>,
}

pub(super) async fn run(command: Command, output: Output) -> Result<(), CliError> {
    let place = match &command {
        Command::Partition { place, .. }
        | Command::OneWay { place, .. }
        | Command::Cut { place, .. }
        | Command::Bridge { place, .. }
        | Command::LinkDown { place, .. }
        | Command::SlowLink { place, .. }
        | Command::Pause { place, .. }
        | Command::SlowDisk { place, .. }
        | Command::Heal(place) => place,
    };
    let testnet = Testnet::open(&place.dir)?;
    let lines = Lines::of(&testnet);
    let Some(fault) = fault_of(&testnet, &command).await? else {
        fault::heal(&testnet, lines.as_ref())?;
        return output.document(&json!({ "healed": true }), || "every fault is healed".to_owned());
    };
    fault.apply(&testnet, lines.as_ref())?;
    output.document(&fault, || {
        let dir =
            if place.dir == Path::new(DIRECTORY) { String::new() } else { format!(" --dir {}", place.dir.display()) };
        format!("{fault}; `galen testnet fault heal{dir}` ends it")
    })
}

/// What a command asks for; nothing where it is to heal.
async fn fault_of(testnet: &Testnet, command: &Command) -> Result<Option<Fault>, CliError> {
    Ok(Some(match command {
        Command::Partition { side, .. } => Fault::Partition { side: all_named(testnet, side).await? },
        Command::OneWay { from, to, .. } => {
            Fault::OneWay { from: named(testnet, from).await?, to: named(testnet, to).await? }
        }
        Command::Cut { one, other, .. } => {
            Fault::Cut { one: named(testnet, one).await?, other: named(testnet, other).await? }
        }
        Command::Bridge { over, side, .. } => {
            let (over, side) = (named(testnet, over).await?, all_named(testnet, side).await?);
            let is_other = |node: &NodeName| *node != over && !side.contains(node);
            if side.contains(&over) || !testnet.nodes().iter().any(|entry| is_other(&entry.node)) {
                return Err(CliError::usage("a bridge takes a node on each side of the one between them"));
            }
            Fault::Bridge { over, side }
        }
        Command::LinkDown { node, .. } => Fault::LinkDown { node: named(testnet, node).await? },
        Command::SlowLink { node, rate, .. } => {
            Fault::SlowLink { node: named(testnet, node).await?, kilobits_per_second: *rate }
        }
        Command::Pause { node, .. } => Fault::Pause { node: named(testnet, node).await? },
        Command::SlowDisk { node, writes, .. } => {
            Fault::SlowDisk { node: named(testnet, node).await?, writes_per_second: *writes }
        }
        Command::Heal(_) => return Ok(None),
    }))
}

async fn all_named(testnet: &Testnet, words: &[String]) -> Result<Vec<NodeName>, CliError> {
    let mut names = Vec::new();
    for word in words {
        names.push(named(testnet, word).await?);
    }
    Ok(names)
}

/// The node that a word names.
async fn named(testnet: &Testnet, word: &str) -> Result<NodeName, CliError> {
    if word != LEADER {
        return Ok(testnet.node(word)?.name.clone());
    }
    for status in testnet.status().await? {
        if let Some(leader) = status.chain.and_then(|chain| chain.leader) {
            return Ok(leader);
        }
    }
    Err(CliError::failed("no node knows a leader now"))
}

pub(super) async fn play(play: Play, output: Output) -> Result<(), CliError> {
    let bar = spinner(output);
    let on_key = |done, total| bar.set_message(format!("making keys: {done} of {total}"));
    let testnet = match Testnet::open(&play.dir) {
        Ok(testnet) => testnet,
        Err(TestnetError::Absent(_)) => {
            let isolated = Isolation::permitted();
            if let Err(error) = &isolated {
                output.note(&format!("network namespaces are not permitted here: {error}"));
                output.note("FALLING BACK to relays between the nodes: the kernel's own network is not broken");
            }
            let isolated = isolated.is_ok();
            let options = PlanOptions { port_base: play.port, isolated, relays: !isolated, ..PlanOptions::default() };
            Testnet::make(&play.dir, &options, &on_key)?
        }
        Err(error) => return Err(error.into()),
    };
    let lines = Lines::start(&testnet).await?;
    let program = program()?;
    testnet.up(&program, &|node| bar.set_message(format!("{} is ready", node.node))).await?;
    let options = FaultOptions {
        scenarios: if play.scenarios.is_empty() { ALL.to_vec() } else { play.scenarios },
        length: play.duration.map(|length| length.0),
        hold: play.hold.0,
        pause: play.pause.0,
        per_second_at_voter: play.rate,
        seed: play.seed,
        acknowledged: play.acknowledged,
    };
    bar.set_message("playing faults");
    let mut on_played = |played: &faults::Played| bar.suspend(|| output.note(&played.to_string()));
    let report = faults::run(&testnet, &lines, &program, &options, &mut on_played).await?;
    bar.finish_and_clear();
    output.document(&report, || report.to_string())
}
