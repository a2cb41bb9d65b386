//! The limits of everything that reads archives and documents. These come from somebody
//! else, and a small archive may claim to be very large: memory and time must grow with
//! what is read, and not with what is claimed. An error names the limit, and what was
//! found.
//!
//! The bytes and files of layers are limited by the free space of the store:
//! [`crate::unpack::Budget`].

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

// Archives

/// The longest name of a file, and the longest target of a link, in bytes: PATH_MAX of
/// linux/limits.h.
pub(crate) const LONGEST_NAME: usize = 4096;
/// The longest extended header before an entry, in bytes: attributes may have 64 KiB
/// each.
pub(crate) const LONGEST_EXTENSION: u64 = MIB;
/// The longest global header, in bytes: git(1) writes about a hundred.
pub(crate) const LONGEST_GLOBAL: usize = 64 << 10;
/// The most records of extended headers that apply to one entry.
pub(crate) const MOST_RECORDS: usize = 1000;
/// The largest sparse file, with its holes, in bytes: `check` and `export` read them.
pub(crate) const LARGEST_SPARSE_FILE: u64 = 1 << 40;
/// The most segments of a sparse file.
pub(crate) const MOST_SEGMENTS: usize = 1 << 20;
/// The most bytes of an archive that become no file, and how many more there may be for
/// each entry: extended headers, and data that is skipped, as that of a whiteout.
pub(crate) const MOST_OVERHEAD: u64 = 64 * MIB;
pub(crate) const OVERHEAD_OF_ENTRY: u64 = 8 * KIB;
/// The most zeros that may pad an archive after its end, in bytes.
pub(crate) const LONGEST_PADDING: u64 = 64 * MIB;
/// The most memory that a stream of xz may ask for, in KiB: `xz -9` asks for 65 MiB.
pub(crate) const MOST_XZ_MEMORY: u32 = 128 << 10;
/// The largest window of a zstd frame, as a power of 2, in bytes: zstd(1) has the same
/// limit.
pub(crate) const MOST_ZSTD_WINDOW: u32 = 27;

// The layers of an image together

/// The most entries.
pub(crate) const MOST_ENTRIES: u64 = 10_000_000;
/// The most bytes of the names that are kept until the layers are complete: those of
/// whiteouts, and of directories that the archives do not list.
pub(crate) const MOST_NOTED_NAMES: u64 = 32 * MIB;
/// The most whiteouts of a layer that are compared with the layers below.
pub(crate) const MOST_WHITEOUTS: usize = 10_000;
/// The most such names, times the layers in which they are looked up.
pub(crate) const MOST_LOOKUPS: usize = 10_000_000;
/// The most layers that overlayfs takes: OVL_MAX_STACK of fs/overlayfs/params.h.
pub(crate) const MOST_LAYERS: usize = 500;

// Sources of `load`, with all their images

/// The most files of an archive of images.
pub(crate) const MOST_MEMBERS: usize = 10_000;
/// The most bytes of their names.
pub(crate) const MOST_MEMBER_NAMES: usize = 16 << 20;
/// The most layers that the images list.
pub(crate) const MOST_LISTED_LAYERS: usize = 20_000;
/// The most names of an image.
pub(crate) const MOST_NAMES: usize = 100;
/// The most indexes that may be nested.
pub(crate) const MOST_NESTED: usize = 3;
/// The largest manifest, configuration or index that is read, in bytes. Registries
/// accept 4 MiB.
pub(crate) const LARGEST_DOCUMENT: u64 = 4 * MIB;
/// The most bytes of all documents.
pub(crate) const MOST_DOCUMENT_BYTES: u64 = 64 * MIB;
/// The most values of a document: each takes much more memory than text.
pub(crate) const MOST_VALUES: usize = 100_000;
