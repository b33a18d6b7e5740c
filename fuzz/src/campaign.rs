//! A campaign: mutate what is known, keep what reaches something new, stop at the first finding.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::corpus;
use crate::judge::{Cause, judge};
use crate::mutation::mutate;
use crate::random::Random;
use crate::target::Target;

/// What may be kept in memory of inputs that reached something new.
const KEPT_MAX: usize = 4_096;
/// After so long on one input the process ends and says which it was: an endless loop cannot be taken back.
const STUCK_AFTER: Duration = Duration::from_secs(120);
/// Processor time that making a finding smaller may take.
const SHRINK_FOR: Duration = Duration::from_secs(5);

/// An input that shows something wrong.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What is wrong.
    pub cause: Cause,
    /// The input, made smaller as far as that went quickly.
    pub input: Vec<u8>,
}

/// How a campaign is run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How long.
    pub time: Duration,
    /// Decides everything but the time.
    pub seed: u64,
    /// Ends it earlier, if not `u64::MAX`.
    pub executions_max: u64,
}

/// What a campaign did.
#[derive(Debug)]
pub struct Report {
    /// Inputs judged.
    pub executions: u64,
    /// Of these, taken as valid ones.
    pub accepted: u64,
    /// Different combinations of labels reached.
    pub reached: usize,
    /// How long it took.
    pub time: Duration,
    /// Inputs that reached something that neither seeds nor corpus did, in the order found.
    pub news: Vec<Vec<u8>>,
    /// The first finding, which ended it.
    pub finding: Option<Finding>,
}

/// Runs a campaign on the target that `make` makes; it is made anew after the finding, to shrink that.
pub fn run(name: &str, make: &dyn Fn() -> Box<dyn Target>, plan: Plan) -> Report {
    let started = Instant::now();
    let watch = Watch::start(name);
    let mut target = make();
    let seeds = target.seeds();
    let mut known: Vec<Vec<u8>> = seeds;
    known.extend(corpus::read(&corpus::folder(name)).into_iter().map(|(_, bytes)| bytes));
    known.extend(corpus::read(&corpus::crashes(name)).into_iter().map(|(_, bytes)| bytes));
    let mut random = Random::new(plan.seed);
    let mut report =
        Report { executions: 0, accepted: 0, reached: 0, time: Duration::ZERO, news: Vec::new(), finding: None };
    let mut reached = HashSet::new();
    let first = known.len();
    let mut place = 0;
    while report.executions < plan.executions_max && (place < first || started.elapsed() < plan.time) {
        let input = if place < first {
            place += 1;
            known[place - 1].clone()
        } else {
            next(&mut *target, &known, &mut random)
        };
        watch.look_at(&input);
        report.executions += 1;
        match judge(&mut *target, &input) {
            Ok(trace) => {
                report.accepted += u64::from(trace.accepted());
                if reached.insert(trace.fingerprint()) && report.executions > first as u64 {
                    if known.len() < first + KEPT_MAX {
                        known.push(input.clone());
                    }
                    report.news.push(input);
                }
            }
            Err(cause) => {
                watch.rest();
                report.finding = Some(shrink(make, cause, input));
                break;
            }
        }
    }
    report.reached = reached.len();
    report.time = started.elapsed();
    report
}

/// The next input: one that is known, changed.
fn next(target: &mut dyn Target, known: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let empty = Vec::new();
    let mut pick = || if known.is_empty() { &empty } else { &known[random.below(known.len())] };
    let (input, other) = (pick(), pick());
    if random.chance(500)
        && let Some(reshaped) = target.reshape(input, other, random)
    {
        return reshaped;
    }
    let mut input = input.clone();
    mutate(&mut input, other, target.words(), target.limits().input_bytes_max, random);
    input
}

/// Takes parts out of a finding as long as it stays one of the same kind.
fn shrink(make: &dyn Fn() -> Box<dyn Target>, cause: Cause, input: Vec<u8>) -> Finding {
    let mut finding = Finding { cause, input };
    let deadline = Instant::now() + SHRINK_FOR;
    let mut target = make();
    let mut width = finding.input.len() / 2;
    while width > 0 {
        let mut at = 0;
        while at < finding.input.len() {
            if Instant::now() > deadline {
                return finding;
            }
            let mut shorter = finding.input.clone();
            shorter.drain(at..(at + width).min(shorter.len()));
            match judge(&mut *target, &shorter) {
                Err(cause) if cause.code() == finding.cause.code() => finding = Finding { cause, input: shorter },
                _ => at += width,
            }
            if matches!(finding.cause, Cause::Panic(_)) {
                target = make();
            }
        }
        width /= 2;
    }
    finding
}

/// The input that a campaign judges now, and since when.
type Current = Mutex<Option<(Instant, Vec<u8>)>>;

/// The campaigns of this process.
static RUNNING: Mutex<Vec<(String, Weak<Current>)>> = Mutex::new(Vec::new());

/// Writes down what is judged now: the process is about to end.
fn write_down() {
    let Ok(running) = RUNNING.try_lock() else { return };
    for (name, current) in running.iter() {
        let Some(current) = current.upgrade() else { continue };
        if let Ok(Some((_, input))) = current.try_lock().map(|current| current.clone()) {
            let cause = Cause::Panic("the system has no memory for this, or for another that is judged now".to_owned());
            eprintln!("{}", corpus::report(name, &Finding { cause, input }));
        }
    }
}

/// Ends the process when one input takes for ever, after writing it down.
struct Watch {
    current: Arc<Current>,
}

impl Watch {
    fn start(name: &str) -> Self {
        let current = Arc::new(Mutex::new(None::<(Instant, Vec<u8>)>));
        let (watched, name) = (Arc::downgrade(&current), name.to_owned());
        crate::allocation::LAST_WORDS.get_or_init(|| write_down);
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).push((name.clone(), Weak::clone(&watched)));
        std::thread::spawn(move || {
            while let Some(current) = watched.upgrade() {
                let stuck = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
                drop(current);
                if let Some((since, input)) = stuck.filter(|(since, _)| since.elapsed() > STUCK_AFTER) {
                    let finding = Finding { cause: Cause::Time(since.elapsed()), input };
                    eprintln!("{}", corpus::report(&name, &finding));
                    std::process::abort();
                }
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        Self { current }
    }

    fn look_at(&self, input: &[u8]) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), input.to_vec()));
    }

    fn rest(&self) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.rest();
    }
}
