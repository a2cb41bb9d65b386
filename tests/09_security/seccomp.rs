//! The compiler of seccomp filters, compared with libseccomp's.

#[path = "seccomp/calls.rs"]
mod calls;
#[path = "seccomp/default_profile.rs"]
mod default_profile;
#[path = "seccomp/for_real.rs"]
mod for_real;
#[path = "seccomp/libseccomp.rs"]
mod libseccomp;
#[path = "seccomp/random_profiles.rs"]
mod random_profiles;
