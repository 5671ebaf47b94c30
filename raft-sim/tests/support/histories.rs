//! Random histories: right ones, made by clients of one map of registers that is really there, and wrong ones, made of these by
//! changing a detail.

use raft_sim::Random;
use raft_sim::history::{Call, History, Operation, Outcome, Registers, Reply};

/// How a history is drawn. Chances are out of 1,024.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) calls: usize,
    pub(crate) clients: u64,
    pub(crate) keys: u64,
    /// How many different values are written; 0: every write has its own.
    pub(crate) values: u64,
    pub(crate) lost: u64,
    pub(crate) refused: u64,
}

#[derive(Clone, Copy)]
enum Client {
    Idle,
    /// Asked, and not yet effective.
    Asked(usize),
    /// Effective, and not yet answered.
    Effective(usize, Reply),
}

struct Maker<'a> {
    shape: Shape,
    random: &'a mut Random,
    registers: Registers,
    history: History,
    clients: Vec<Client>,
    /// Given up by their clients, and not effective yet.
    adrift: Vec<usize>,
    now: u64,
    position: u64,
}

/// A history that is linearizable, with its witness.
pub(crate) fn right(shape: Shape, random: &mut Random) -> History {
    let clients = vec![Client::Idle; shape.clients as usize];
    let mut maker = Maker {
        shape,
        random,
        registers: Registers::default(),
        history: History::default(),
        clients,
        adrift: Vec::new(),
        now: 0,
        position: 0,
    };
    while maker.history.calls.len() < shape.calls {
        maker.happens();
    }
    maker.history
}

impl Maker<'_> {
    fn happens(&mut self) {
        self.now += 1;
        let nth = self.random.below(self.shape.clients) as usize;
        match self.clients[nth] {
            Client::Idle => {
                let client = nth as u64;
                let key = self.random.below(self.shape.keys);
                let operation = self.operation(key);
                let (invoked, outcome) = (self.now, Outcome::Open);
                self.history.push(Call { client, key, operation, invoked, outcome, position: None });
                self.clients[nth] = Client::Asked(self.history.calls.len() - 1);
            }
            Client::Asked(of) if self.random.chance(self.shape.refused) => {
                self.history.calls[of].outcome = Outcome::Refused;
                self.clients[nth] = Client::Idle;
            }
            Client::Asked(of) if self.random.chance(self.shape.lost) => {
                self.adrift.push(of);
                self.clients[nth] = Client::Idle;
            }
            Client::Asked(of) => self.clients[nth] = Client::Effective(of, self.effect(of)),
            Client::Effective(of, reply) => {
                if !self.random.chance(self.shape.lost) {
                    self.history.calls[of].outcome = Outcome::Answered { at: self.now, reply };
                }
                self.clients[nth] = Client::Idle;
            }
        }
        if !self.adrift.is_empty() && self.random.chance(100) {
            let of = self.adrift.swap_remove(self.random.below(self.adrift.len() as u64) as usize);
            self.effect(of);
        }
    }

    fn operation(&mut self, key: u64) -> Operation {
        let fresh = self.now;
        let value = if self.shape.values == 0 { fresh } else { 1 + self.random.below(self.shape.values) };
        match self.random.below(3) {
            0 => Operation::Read,
            1 => Operation::Write(value),
            _ => {
                let hits = self.random.chance(700);
                let expected = if hits { self.registers.value(key) } else { Some(1 + self.random.below(3)) };
                Operation::CompareAndSwap { expected, new: value }
            }
        }
    }

    fn effect(&mut self, of: usize) -> Reply {
        self.position += 1;
        let call = &mut self.history.calls[of];
        call.position = Some(self.position);
        self.registers.apply(call.key, call.operation)
    }
}

/// Changes one detail, which mostly makes a right history wrong.
pub(crate) fn mutate(history: &mut History, random: &mut Random) {
    let count = history.calls.len() as u64;
    for _ in 0..50 {
        let nth = random.below(count) as usize;
        let call = &mut history.calls[nth];
        let Outcome::Answered { at, reply } = call.outcome else { continue };
        let (mut at, mut reply) = (at, reply);
        match random.below(4) {
            // Another reply.
            0 | 1 => match &mut reply {
                Reply::Value(value) => {
                    *value = random.pick(&[None, Some(1), Some(2), Some(at), Some(call.invoked)]);
                }
                Reply::Swapped(swapped) => *swapped = !*swapped,
                Reply::Written => continue,
            },
            // Another time: earlier or later as a whole.
            2 => {
                let (length, earlier) = (at - call.invoked, random.between(1, 8));
                call.invoked = call.invoked.saturating_sub(earlier);
                at = call.invoked + length;
            }
            // An answered write is forgotten: another operation takes its place.
            _ => match call.operation {
                Operation::Write(_) => call.operation = Operation::Write(1_000_000),
                _ => continue,
            },
        }
        call.outcome = Outcome::Answered { at, reply };
        return;
    }
}
