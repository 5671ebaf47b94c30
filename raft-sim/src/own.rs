//! The wall between a world and the [`StateMachine`] of whoever uses the simulator: behind it the type does not matter, and a panic
//! of theirs comes out as a [`Misstep`].

use core::any::Any;
use core::cell::Cell;
use core::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use bytes::Bytes;

use crate::random::Random;
use crate::run::text_of;
use crate::state_machine::{At, StateMachine};

/// How many commands are drawn for those that stand for all, and how many of these do.
const DRAWN: usize = 64;
const TRIED: usize = 16;

/// What a state machine has done that it must not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Misstep {
    /// It panicked in this function, with this text.
    Panic(&'static str, String),
    /// A command does not read back from these bytes.
    Encoding(Bytes),
    /// It can not be restored from what it has saved.
    Restore(String),
    /// Its own check has this to say.
    Invariant(String),
}

thread_local! {
    /// Whether this thread is in somebody else's code.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Calls into somebody else's code.
fn guarded<T>(function: &'static str, call: impl FnOnce() -> T) -> Result<T, Misstep> {
    INSIDE.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(call));
    INSIDE.set(false);
    outcome.map_err(|panic| Misstep::Panic(function, text_of(&*panic).to_owned()))
}

/// From now on panics in a state machine of a user are not printed: they are reported like any broken rule, and while a run is shortened they
/// come again and again. Other panics are printed as before.
pub(crate) fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !INSIDE.get() {
                before(panic);
            }
        }));
    });
}

/// The state machine of a user on one server; or as bytes, in a snapshot; or none.
#[derive(Clone, Default)]
pub struct Own(Option<Form>);

#[derive(Clone)]
enum Form {
    /// It runs.
    Live(Box<dyn Replica>),
    /// It was saved.
    Saved(Bytes),
}

/// What a world does with a state machine whose type does not matter.
pub(crate) trait Replica: Send + Sync {
    fn draw(&self, random: &mut Random) -> Result<Bytes, Misstep>;
    /// Looks whether a command reads back from its bytes.
    fn read_back(&self, command: &Bytes) -> Result<(), Misstep>;
    fn apply(&mut self, at: At, command: &[u8]) -> Result<(), Misstep>;
    fn check(&self) -> Result<(), Misstep>;
    fn save(&self) -> Result<Bytes, Misstep>;
    fn restored(&self, bytes: &[u8]) -> Result<Box<dyn Replica>, Misstep>;
    fn is_equal(&self, other: &dyn Replica) -> bool;
    /// Whether both have put out the same when they applied their last command; true where one of them has not applied any.
    fn has_said_the_same(&self, other: &dyn Replica) -> bool;
    /// A command in words.
    fn words(&self, command: &[u8]) -> Option<String>;
    /// Its state in words.
    fn state(&self) -> String;
    /// What it has put out last, in words.
    fn output(&self) -> String;
    fn copied(&self) -> Box<dyn Replica>;
    fn as_any(&self) -> &dyn Any;
}

impl Clone for Box<dyn Replica> {
    fn clone(&self) -> Self {
        self.copied()
    }
}

/// A state machine, with what it has put out last.
#[derive(Clone)]
struct Behind<M: StateMachine> {
    machine: M,
    said: Option<M::Output>,
}

/// The command that is these bytes.
fn decoded<M: StateMachine>(bytes: &[u8]) -> Result<M::Command, Misstep> {
    let unreadable = || Misstep::Encoding(Bytes::copy_from_slice(bytes));
    guarded("decode", || M::decode(bytes))?.ok_or_else(unreadable)
}

impl<M: StateMachine> Replica for Behind<M> {
    fn draw(&self, random: &mut Random) -> Result<Bytes, Misstep> {
        let command = guarded("draw", || self.machine.draw(random))?;
        guarded("encode", || M::encode(&command)).map(Bytes::from)
    }

    fn read_back(&self, command: &Bytes) -> Result<(), Misstep> {
        let read = decoded::<M>(command)?;
        let again = guarded("encode", || M::encode(&read))?;
        if again == *command { Ok(()) } else { Err(Misstep::Encoding(command.clone())) }
    }

    fn apply(&mut self, at: At, command: &[u8]) -> Result<(), Misstep> {
        let command = decoded::<M>(command)?;
        self.said = Some(guarded("apply", || self.machine.apply(at, command))?);
        Ok(())
    }

    fn check(&self) -> Result<(), Misstep> {
        guarded("check", || self.machine.check())?.map_err(Misstep::Invariant)
    }

    fn save(&self) -> Result<Bytes, Misstep> {
        guarded("snapshot", || self.machine.snapshot()).map(Bytes::from)
    }

    fn restored(&self, bytes: &[u8]) -> Result<Box<dyn Replica>, Misstep> {
        let machine = guarded("restore", || M::restore(bytes))?.map_err(Misstep::Restore)?;
        Ok(Box::new(Behind { machine, said: None }))
    }

    fn is_equal(&self, other: &dyn Replica) -> bool {
        other.as_any().downcast_ref::<Self>().is_some_and(|other| self.machine == other.machine)
    }

    fn has_said_the_same(&self, other: &dyn Replica) -> bool {
        let other = other.as_any().downcast_ref::<Self>();
        match (&self.said, other.and_then(|other| other.said.as_ref())) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        }
    }

    fn words(&self, command: &[u8]) -> Option<String> {
        decoded::<M>(command).ok().map(|command| format!("{command:?}"))
    }

    fn state(&self) -> String {
        format!("{:?}", self.machine)
    }

    fn output(&self) -> String {
        self.said.as_ref().map_or_else(String::new, |said| format!("{said:?}"))
    }

    fn copied(&self) -> Box<dyn Replica> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Own {
    /// One that has not applied anything.
    pub fn of<M: StateMachine>() -> Self {
        Own(Some(Form::Live(Box::new(Behind::<M> { machine: M::default(), said: None }))))
    }

    /// The one that runs.
    pub(crate) fn live(&self) -> Option<&dyn Replica> {
        if let Some(Form::Live(replica)) = &self.0 { Some(&**replica) } else { None }
    }

    /// As bytes.
    pub(crate) fn saved(&self) -> Result<Self, Misstep> {
        self.live().map_or_else(|| Ok(self.clone()), |replica| Ok(Own(Some(Form::Saved(replica.save()?)))))
    }

    /// One of this type that was saved runs again.
    pub(crate) fn restored(&self, saved: &Own) -> Result<Self, Misstep> {
        match (self.live(), &saved.0) {
            (Some(replica), Some(Form::Saved(bytes))) => Ok(Own(Some(Form::Live(replica.restored(bytes)?)))),
            _ => Ok(saved.clone()),
        }
    }

    /// Commands that this one draws, the shortest and smallest first: what others are tried to become when a run is shortened.
    pub(crate) fn simple(&self) -> Vec<Bytes> {
        let mut random = Random::new(0);
        let draw =
            |replica: &dyn Replica| (0..DRAWN).filter_map(|_| replica.draw(&mut random).ok()).collect();
        let mut drawn: Vec<Bytes> = self.live().map_or_else(Vec::new, draw);
        drawn.sort_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
        drawn.dedup();
        drawn.truncate(TRIED);
        drawn
    }

    /// Performs a command; where there is no such state machine nobody does.
    pub(crate) fn apply(&mut self, at: At, command: &[u8]) -> Result<(), Misstep> {
        if let Some(Form::Live(replica)) = &mut self.0 { replica.apply(at, command) } else { Ok(()) }
    }
}

impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(Form::Live(one)), Some(Form::Live(other))) => one.is_equal(&**other),
            (Some(Form::Saved(one)), Some(Form::Saved(other))) => one == other,
            (None, None) => true,
            _ => false,
        }
    }
}

impl Eq for Own {}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("none"),
            Some(Form::Live(replica)) => f.write_str(&replica.state()),
            Some(Form::Saved(bytes)) => write!(f, "{bytes:?}"),
        }
    }
}
