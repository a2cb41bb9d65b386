//! Step 10: an OCI runtime. See the OCI runtime specification:
//! <https://github.com/opencontainers/runtime-spec>

mod plan;
