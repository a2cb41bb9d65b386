//! The copy of a layer that `check` makes.

use std::io;

use anyhow::{Context, Error, Result};
use kit::Hint;
use nix::errno::Errno;

use crate::layer::{IncomingLayer, ReceivedLayer, receive};
use crate::progress;
use crate::store::{NOT_WRITABLE, Store, hint_if_disk_is_full, is_disk_full};
use crate::unpack::Budget;

/// Unpacks a layer into a temporary directory. The inner error is the layer's damage.
///
/// # Errors
/// When the copy cannot be made or written, which is no damage.
pub(super) fn receive_copy(
    store: &Store,
    layer: &IncomingLayer<'_>,
) -> Result<Result<ReceivedLayer>> {
    let bars = progress::bars();
    let budget = Budget::new(store.free_space()?);
    let received = receive(store, layer, &budget, &bars);
    let _ = bars.clear(); // a terminal that is gone is no reason to fail
    match received.with_context(|| layer.name.clone()) {
        Err(error) if budget.is_exceeded() => Err(error),
        received => damage_or_error(received),
    }
}

/// Tells the damage of a layer, the inner error, from the reasons for which no copy can
/// be made.
pub(super) fn damage_or_error<T>(result: Result<T>) -> Result<Result<T>> {
    match result {
        Err(error) if is_of_the_copy(&error) => hint_if_disk_is_full(Err(error))
            .hint_on(Errno::EROFS, NOT_WRITABLE)
            .hint_on(Errno::EACCES, NOT_WRITABLE),
        result => Ok(result),
    }
}

/// The reasons of the kernel for which a copy cannot be made, whatever the archive has.
const REASONS: [Errno; 6] = [
    Errno::EROFS,
    Errno::EACCES,
    Errno::EPERM,
    Errno::EMFILE,
    Errno::ENFILE,
    Errno::ENOMEM,
];

fn is_of_the_copy(error: &Error) -> bool {
    let is_reason = |number: i32| REASONS.contains(&Errno::from_raw(number));
    let is_cause = |cause: &(dyn std::error::Error + 'static)| {
        let of_std = cause.downcast_ref().and_then(io::Error::raw_os_error);
        let of_rustix =
            cause.downcast_ref::<rustix::io::Errno>().map(|it| it.raw_os_error());
        of_std.or(of_rustix).is_some_and(is_reason)
    };
    let of_call = kit::errno(error).is_some_and(|it| REASONS.contains(&it));
    is_disk_full(error) || of_call || error.chain().any(is_cause)
}
