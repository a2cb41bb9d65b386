//! The machine that an image is for.

use oci_spec::image::{Descriptor, ImageConfiguration};

/// The rank of an image for another machine, after all that are for this one.
const FOREIGN: u32 = 1000;

/// Returns this machine's architecture by Go's name, as images have it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

/// Tells whether a descriptor may be for this machine. A descriptor without a platform
/// is for every machine. The platform of buildkit's attestations is `unknown`.
pub(super) fn is_ours(descriptor: &Descriptor) -> bool {
    let Some(platform) = descriptor.platform() else { return true };
    platform.os().to_string() == "linux"
        && platform.architecture().to_string() == architecture()
}

/// Ranks an image by its configuration; 0 is the best. Images for every machine of this
/// architecture come first, then those for its variants, then those for others.
pub(super) fn rank_configuration(configuration: &ImageConfiguration) -> u32 {
    let is_or_unset = |text: String, ours: &str| text.is_empty() || text == ours;
    let is_ours = is_or_unset(configuration.architecture().to_string(), architecture())
        && is_or_unset(configuration.os().to_string(), "linux");
    match is_ours {
        true => variant_rank(configuration.variant().as_deref()),
        false => FOREIGN,
    }
}

/// Ranks a descriptor by its variant.
pub(super) fn rank_descriptor(descriptor: &Descriptor) -> u32 {
    let platform = descriptor.platform().as_ref();
    variant_rank(platform.and_then(|platform| platform.variant().as_deref()))
}

/// Ranks `v1` to `v4` of amd64, and `v8` and `v9` of arm64.
fn variant_rank(variant: Option<&str>) -> u32 {
    let baseline = if architecture() == "arm64" { 8 } else { 1 };
    let number = variant.and_then(|variant| variant.strip_prefix('v')?.parse().ok());
    number.unwrap_or(baseline).min(FOREIGN - 1).saturating_sub(baseline)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_for_every_variant_ranks_first() {
        if architecture() == "amd64" {
            let ranks = [None, Some("v1"), Some("v2"), Some("v4")].map(variant_rank);
            assert_eq!(ranks, [0, 0, 1, 3]);
        }
        assert!(variant_rank(Some("v4000000000")) < FOREIGN);
    }
}
