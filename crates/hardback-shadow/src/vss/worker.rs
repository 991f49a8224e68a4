//! The thread that has all objects of one set: they are made, used and released there, and nowhere else.
//!
//! Whoever waits for it hears a wish to stop, and gives up waiting where a call to the system never returns: the system
//! releases all of it when this process ends.

use super::calls::Library;
use super::codes::Code;
use super::letters::Letters;
use super::session::{Failure, Frozen, Limits, Session, Surroundings, freeze};
use super::time::{Stop, Time};
use super::watched::{Pulse, Watched};
use crate::error::ShadowError;
use crate::provider::Meanwhile;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Reaches the library from the thread that is going to use it.
pub(crate) type Connect = dyn Fn() -> Result<Box<dyn Library>, Failure> + Send + Sync;

/// How often it is looked whether somebody wants to stop.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a thread may take to stop that was asked to.
const STOPPING: Duration = Duration::from_secs(30);

/// What to do where a call never returns.
const STUCK_HINT: &str = "restart the service \"Volume Shadow Copy\" in services.msc, or the computer; see the event log (Application, source VSS)";

/// What a worker works with.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) connect: Arc<Connect>,
    pub(crate) letters: Arc<dyn Letters>,
    pub(crate) time: Arc<dyn Time>,
    pub(crate) limits: Limits,
}

/// A thread with a set of copies.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Dropped to end it.
    questions: Option<Sender<Question>>,
    /// Disconnected when it has ended.
    ended: Receiver<Never>,
    limits: Limits,
}

/// Is never sent.
#[derive(Debug)]
enum Never {}

/// Whether the copy of the volume of that number is still there.
struct Question {
    number: usize,
    answer: Sender<Result<(), Code>>,
}

enum News {
    Told(String),
    Done(Result<Frozen, Failure>),
}

impl Worker {
    /// Freezes volumes in a thread of their own.
    pub(crate) fn start(
        tools: &Tools,
        volumes: Vec<String>,
        meanwhile: &Meanwhile<'_>,
    ) -> Result<(Self, Frozen), Failure> {
        let (questions, asked) = channel();
        let (ending, ended) = channel();
        let (news, heard) = channel();
        let (stop, stopped) = (Stop::default(), Stop::default());
        let pulse = Pulse::new(tools.time.clone());
        let (work, heeded, felt) = (tools.clone(), stop.clone(), pulse.clone());
        let thread = std::thread::Builder::new().name("shadow copies".into());
        let started = thread.spawn(move || {
            // Dropped last, also by a panic: it says that all is released.
            let _ending: Sender<Never> = ending;
            run(&work, &volumes, (&heeded, &felt), &news, &asked);
        });
        started.map_err(|error| Failure::Unreachable(error.to_string()))?;
        let mut worker = Self { questions: Some(questions), ended, limits: tools.limits };
        match follow(&heard, (&stop, &pulse), &stopped, meanwhile) {
            Ok(frozen) => Ok((worker, frozen)),
            Err(failure) => {
                if stopped.is_set() {
                    // It is not waited for a second time.
                    worker.questions = None;
                }
                Err(failure)
            }
        }
    }

    /// Returns why the copy of the volume of that number cannot be trusted. Where nobody answers it may be good, unless
    /// this is the `last` question: nobody is going to know better.
    pub(crate) fn check(&self, number: usize, last: bool) -> Result<(), String> {
        let (answer, answered) = channel();
        let limit = if last { self.limits.checking_last } else { self.limits.checking };
        let asked = self.questions.as_ref().and_then(|questions| questions.send(Question { number, answer }).ok());
        match asked.map(|()| answered.recv_timeout(limit)) {
            Some(Ok(answer)) => answer.map_err(|code| code.to_string()),
            Some(Err(RecvTimeoutError::Timeout)) if !last => Ok(()),
            Some(Err(RecvTimeoutError::Timeout)) => Err(format!(
                "the shadow copy service did not tell within {} s whether it is still good",
                limit.as_secs()
            )),
            _ => Err(Code::UNEXPECTED.to_string()),
        }
    }

    /// Ends the set and waits for it.
    pub(crate) fn release(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if self.questions.take().is_some() {
            // Whether it has ended, or never will: there is nothing else that could be done.
            self.ended.recv_timeout(self.limits.completing + self.limits.cancelling + STOPPING).ok();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
    }
}

/// Follows what a thread does until it has frozen the volumes or failed. `gave_up` is set where it is not to be waited for.
fn follow(
    heard: &Receiver<News>,
    (stop, pulse): (&Stop, &Pulse),
    gave_up: &Stop,
    meanwhile: &Meanwhile<'_>,
) -> Result<Frozen, Failure> {
    let mut waited = Duration::ZERO;
    loop {
        match heard.recv_timeout(PAUSE) {
            Ok(News::Told(text)) => (meanwhile.tell)(&text),
            Ok(News::Done(done)) => return done,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::Unreachable("the thread that makes shadow copies panicked".into()));
            }
            Err(RecvTimeoutError::Timeout) if stop.is_set() => waited += PAUSE,
            Err(RecvTimeoutError::Timeout) if (meanwhile.is_stopped)() => stop.set(),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if waited >= STOPPING {
            gave_up.set();
            return Err(Failure::Interrupted);
        }
        if let Some(failure) = pulse.stuck() {
            // Should the call return after all, the thread ends what it began.
            stop.set();
            gave_up.set();
            return Err(failure);
        }
    }
}

/// What the thread does: freezes, answers as long as somebody may ask, and ends all of it.
fn run(
    tools: &Tools,
    volumes: &[String],
    (stop, pulse): (&Stop, &Pulse),
    news: &Sender<News>,
    asked: &Receiver<Question>,
) {
    let tell = |text: String| drop(news.send(News::Told(text)));
    let around = Surroundings { limits: tools.limits, time: &*tools.time, stop, tell: &tell };
    let library = match pulse.during("CoInitializeSecurity", None, || (tools.connect)()) {
        Ok(library) => Watched::new(library, pulse, &volumes.into()),
        Err(failure) => return drop(news.send(News::Done(Err(failure)))),
    };
    let session: Session<'_> = match freeze(&library, volumes, &around) {
        Ok((session, frozen)) => {
            if news.send(News::Done(Ok(frozen))).is_err() {
                // Nobody waits any more.
                return;
            }
            session
        }
        Err(failure) => return drop(news.send(News::Done(Err(failure)))),
    };
    for Question { number, answer } in asked {
        // Who asked may have given up.
        answer.send(session.check(number)).ok();
    }
    drop(session);
}

impl Failure {
    /// Returns it for people; `shown` are the volumes.
    pub(crate) fn into_error(self, shown: &[String]) -> ShadowError {
        let cannot = |of: String, why: String, hint: &str| {
            ShadowError::refused(format!("no shadow copy of {of} can be made: {why}"), hint)
        };
        let all = shown.join(" and ");
        match self {
            Self::Interrupted => ShadowError::Interrupted,
            Self::Call { call, code, volume } => {
                let of = volume.and_then(|number| shown.get(number).cloned()).unwrap_or(all);
                cannot(of, format!("{code}, in {call}"), code.hint())
            }
            Self::TimedOut { call, limit } => {
                let why = format!("{call} took more than {} s and was cancelled", limit.as_secs());
                cannot(all, why, Code::UNEXPECTED.hint())
            }
            Self::Stuck { call, volume, limit } => {
                let of = volume.and_then(|number| shown.get(number).cloned()).unwrap_or(all);
                let why = format!("the shadow copy service did not return from {call} within {} s", limit.as_secs());
                cannot(of, why, STUCK_HINT)
            }
            Self::TooMany => {
                let why = format!("{} volumes cannot be frozen together, but {}", shown.len(), super::VOLUMES_MAX);
                cannot(all, why, Code::TOO_MANY_VOLUMES.hint())
            }
            Self::Unreachable(why) => cannot(all, why, Code::CLASS_NOT_REGISTERED.hint()),
        }
    }
}
