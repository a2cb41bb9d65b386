//! Step 10: an OCI runtime.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::main()
}
