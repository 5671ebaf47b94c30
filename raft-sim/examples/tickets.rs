//! A ticket machine, as in an office: people take numbers and are called in turn. It has a mistake: its snapshot holds who waits, and leaves
//! out the number that is next, which `restore` works out again, though not always.
//!
//! `docs/state-machines.md` makes this file step by step, finds the mistake, and mends it.

use std::collections::VecDeque;
use std::process::ExitCode;

use raft_sim::{At, Random, StateMachine};

/// The numbers that wait, and the one that is taken next.
#[derive(Clone, Default, PartialEq, Debug)]
struct Tickets {
    waiting: VecDeque<u32>,
    next: u32,
}

#[derive(Debug)]
enum Command {
    Take,
    Call,
}

impl StateMachine for Tickets {
    type Command = Command;
    /// The number that was taken or called; nobody is called where nobody waits.
    type Output = Option<u32>;

    fn draw(&self, random: &mut Random) -> Command {
        if random.chance(512) { Command::Take } else { Command::Call }
    }

    fn encode(command: &Command) -> Vec<u8> {
        match command {
            Command::Take => vec![0],
            Command::Call => vec![1],
        }
    }

    fn decode(bytes: &[u8]) -> Option<Command> {
        match bytes {
            [0] => Some(Command::Take),
            [1] => Some(Command::Call),
            _ => None,
        }
    }

    fn apply(&mut self, _at: At, command: Command) -> Option<u32> {
        match command {
            Command::Take => {
                self.waiting.push_back(self.next);
                self.next += 1;
                self.waiting.back().copied()
            }
            Command::Call => self.waiting.pop_front(),
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        self.waiting.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    fn restore(bytes: &[u8]) -> Result<Self, String> {
        let (numbers, []) = bytes.as_chunks() else { return Err("half a number".to_owned()) };
        let waiting: VecDeque<u32> = numbers.iter().map(|bytes| u32::from_be_bytes(*bytes)).collect();
        let next = waiting.back().map_or(0, |last| last + 1);
        Ok(Tickets { waiting, next })
    }
}

fn main() -> ExitCode {
    raft_sim::main::<Tickets>()
}
