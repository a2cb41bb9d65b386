//! Reads ahead in a thread of its own, which decompresses the next block while one is
//! unpacked.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

/// How many bytes are handed over at once.
const BLOCK: usize = 256 * 1024;
/// How many blocks may wait to be read.
const MOST_WAITING: usize = 4;

/// Reads from the blocks of the thread.
pub(crate) struct ReadAhead {
    blocks: Receiver<io::Result<Vec<u8>>>,
    block: Vec<u8>,
    position: usize,
}

impl ReadAhead {
    /// Starts the thread. It ends at the end of `input`, or when this is dropped.
    pub(crate) fn start<'scope, R: Read + Send + 'scope>(
        scope: &'scope Scope<'scope, '_>,
        mut input: R,
    ) -> Self {
        let (sender, blocks) = sync_channel(MOST_WAITING);
        scope.spawn(move || {
            loop {
                let mut block = Vec::with_capacity(BLOCK);
                let read = input.by_ref().take(BLOCK as u64).read_to_end(&mut block);
                let is_last = block.is_empty() || read.is_err();
                if sender.send(read.map(|_| block)).is_err() || is_last {
                    return;
                }
            }
        });
        ReadAhead { blocks, block: Vec::new(), position: 0 }
    }
}

impl Read for ReadAhead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position == self.block.len() {
            self.block = match self.blocks.recv() {
                Ok(block) => block?,
                Err(_) => Vec::new(), // the thread has ended
            };
            self.position = 0;
        }
        let count = (&self.block[self.position..]).read(buffer)?;
        self.position += count;
        Ok(count)
    }
}
