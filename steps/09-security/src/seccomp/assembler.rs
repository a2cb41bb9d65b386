//! The assembler: a program in classic BPF, written from its end.
//!
//! A jump of classic BPF leads forward only. When the program is written from its end,
//! the target of every jump is already there, and its distance is known.

use std::collections::HashMap;

use super::instruction::{self as op, Instruction};

/// The longest conditional jump is 255 instructions. Two more may come between an
/// instruction and its targets, one for each.
const NEAR: usize = 255 - 2;

/// An instruction that is already written, counted from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label(usize);

/// A program that grows at its beginning.
#[derive(Default)]
pub struct Assembler {
    from_end: Vec<Instruction>,
    /// The instructions by their meaning, so that equal tails are written once.
    written: HashMap<Meaning, Label>,
    /// The nearest instruction that does the same as a label.
    nearest: HashMap<Label, Label>,
}

/// An instruction and its targets, wherever they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Meaning {
    code: u16,
    k: u32,
    targets: [Option<Label>; 2],
}

// ANCHOR: assembler
impl Assembler {
    /// Writes `ret #value`.
    pub fn ret(&mut self, value: u32) -> Label {
        let meaning = Meaning { code: op::RETURN, k: value, targets: [None; 2] };
        self.once(meaning, |asm| asm.push(op::RETURN, value, [0, 0]))
    }

    /// Writes a load of a word, and then whatever is at `next`.
    pub fn load(&mut self, offset: u32, next: Label) -> Label {
        self.followed_by(op::LOAD, offset, next)
    }

    /// Writes an `and` of the word with a mask, and then whatever is at `next`.
    pub fn and(&mut self, mask: u32, next: Label) -> Label {
        self.followed_by(op::AND, mask, next)
    }

    /// Writes a conditional jump to `yes` or `no`.
    pub fn branch(&mut self, code: u16, k: u32, yes: Label, no: Label) -> Label {
        if yes == no {
            return yes;
        }
        let meaning = Meaning { code, k, targets: [Some(yes), Some(no)] };
        self.once(meaning, |asm| {
            let targets = [asm.near(yes), asm.near(no)];
            let distances = targets.map(|it| asm.distance(it) as u8);
            asm.push(code, k, distances)
        })
    }

    /// Returns a label that does the same as this one and that a conditional jump
    /// reaches: if need be, a new `ja` or a copy of the `ret`.
    fn near(&mut self, target: Label) -> Label {
        let nearest = self.nearest.get(&target).copied().unwrap_or(target);
        if self.distance(nearest) <= NEAR {
            return nearest;
        }
        let new = match self.from_end[target.0] {
            it if it.code == op::RETURN => self.push(it.code, it.k, [0, 0]),
            _ => self.push(op::JUMP, self.distance(target) as u32, [0, 0]),
        };
        self.nearest.insert(target, new);
        new
    }
    // ANCHOR_END: assembler

    fn followed_by(&mut self, code: u16, k: u32, next: Label) -> Label {
        let meaning = Meaning { code, k, targets: [Some(next), None] };
        self.once(meaning, |asm| {
            if asm.distance(next) > 0 {
                asm.push(op::JUMP, asm.distance(next) as u32, [0, 0]);
            }
            asm.push(code, k, [0, 0])
        })
    }

    /// Returns the label of an instruction with this meaning, or else writes one.
    fn once(
        &mut self,
        meaning: Meaning,
        write: impl FnOnce(&mut Self) -> Label,
    ) -> Label {
        match self.written.get(&meaning) {
            Some(label) => *label,
            None => {
                let label = write(self);
                self.written.insert(meaning, label);
                label
            }
        }
    }

    /// Returns the number of instructions between the next one and its target.
    fn distance(&self, target: Label) -> usize {
        self.from_end.len() - target.0 - 1
    }

    fn push(&mut self, code: u16, k: u32, [jt, jf]: [u8; 2]) -> Label {
        self.from_end.push(Instruction { code, jt, jf, k });
        Label(self.from_end.len() - 1)
    }

    /// Returns the program, which begins at `start`: the instruction written last.
    pub fn finish(mut self, start: Label) -> Vec<Instruction> {
        if self.distance(start) > 0 {
            self.push(op::JUMP, self.distance(start) as u32, [0, 0]);
        }
        self.from_end.reverse();
        self.from_end
    }
}

#[cfg(test)]
mod tests {
    use super::super::interpreter::{SyscallData, run};
    use super::*;

    fn call(number: u32) -> SyscallData {
        SyscallData { number, ..SyscallData::default() }
    }

    /// A list of 2,000 comparisons, each of which needs the first and the last label.
    #[test]
    fn a_jump_over_more_than_255_instructions_arrives() {
        let mut asm = Assembler::default();
        let far = asm.ret(7);
        let target = asm.load(0, far);
        let mut next = asm.ret(1);
        for number in (0..2000).rev() {
            let other = if number % 2 == 0 { far } else { target };
            let own = asm.ret(number % 5);
            let other = if number % 3 == 0 { own } else { other };
            next = asm.branch(op::JUMP_EQUAL, number, other, next);
        }
        let start = asm.load(0, next);
        let program = asm.finish(start);
        assert!(program.len() < 4096, "{}", program.len());
        for number in 0..2000 {
            let expected = if number % 3 == 0 { number % 5 } else { 7 };
            assert_eq!(run(&program, &call(number)).unwrap(), expected, "{number}");
        }
        assert_eq!(run(&program, &call(2000)).unwrap(), 1);
    }

    #[test]
    fn equal_tails_are_written_once() {
        let mut asm = Assembler::default();
        let [yes, no] = [asm.ret(1), asm.ret(2)];
        let first = asm.branch(op::JUMP_EQUAL, 5, yes, no);
        let first = asm.load(16, first);
        let second = asm.branch(op::JUMP_EQUAL, 5, yes, no);
        assert_eq!(asm.load(16, second), first);
        assert_eq!(asm.branch(op::JUMP_EQUAL, 5, yes, yes), yes);
        assert_eq!(asm.finish(first).len(), 4);
    }
}
