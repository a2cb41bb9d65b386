//! Who the command runs as, by the image's own /etc/passwd and /etc/group (passwd(5),
//! group(5)). Never by the host's: its names mean other people, and its libraries would
//! be loaded.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result};
use kit::Failure;
use mount::inside;
use nix::errno::Errno;

/// Who was asked for: `UID[:GID]`, `NAME[:GROUP]`, in any mixture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    user: Name,
    group: Option<Name>,
}

/// A name, or the number that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Number(u32),
    Text(String),
}

/// What the kernel knows of a user, and where it is at home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: Option<String>,
}

impl FromStr for User {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        Ok(User { user: user.parse()?, group: group.map(str::parse).transpose()? })
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_number =
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse::<u32>() {
            Ok(number) if is_number && number < u32::MAX => Ok(Name::Number(number)),
            _ if is_number => Err(format!("{text}: an id is at most 4294967294")),
            _ if text.is_empty() || text.contains([':', '/', '\n']) => Err(
                "UID[:GID] or NAME[:GROUP]: 1000, 1000:1000, nobody, nobody:nogroup"
                    .into(),
            ),
            _ => Ok(Name::Text(text.into())),
        }
    }
}

impl Account {
    /// The user that the namespace begins as: 0, or the caller's own id.
    pub(crate) fn of_id(uid: u32, gid: u32) -> Self {
        Account { uid, gid, groups: Vec::new(), home: None }
    }

    /// Where it is at home, if /etc/passwd says so.
    pub fn home(&self) -> Option<&str> {
        self.home.as_deref()
    }

    /// Looks `user` up in the root file system.
    ///
    /// # Errors
    /// When a name is not there.
    pub(crate) fn find(root: BorrowedFd<'_>, user: &User) -> Result<Self> {
        let passwd = read(root, "/etc/passwd")?;
        let groups = read(root, "/etc/group")?;
        user.look_up(&passwd, &groups)
    }
}

impl User {
    // ANCHOR: look_up
    // Task 6.4: a name by its entry; a number by its entry, if it has one.
    fn look_up(&self, passwd: &str, groups: &str) -> Result<Account> {
        let entry =
            entries(passwd).find(|entry| self.user.is(entry.first(), entry.get(2)));
        let number =
            |entry: &[&str], at: usize| entry.get(at).and_then(|text| id(text));
        let (uid, primary) = match (&self.user, &entry) {
            (_, Some(entry)) => (number(entry, 2), number(entry, 3)),
            // as Docker has it: no entry, group 0
            (Name::Number(uid), None) => (Some(*uid), Some(0)),
            (Name::Text(name), None) => {
                return Err(unknown("user", name, "/etc/passwd"));
            }
        };
        let name = entry.as_ref().and_then(|entry| entry.first().copied());
        // As Docker has it: who has no home is at home at the top.
        let home = entry
            .as_ref()
            .and_then(|entry| entry.get(5).copied())
            .filter(|home| !home.is_empty());
        let malformed = || {
            Failure::new(format_args!(
                "/etc/passwd of the root file system: {entry:?} has no ids"
            ))
        };
        let account = Account {
            uid: uid.ok_or_else(malformed)?,
            gid: primary.ok_or_else(malformed)?,
            groups: Vec::new(),
            home: Some(home.unwrap_or("/").into()),
        };
        match &self.group {
            // Who names a group is in that one alone.
            Some(group) => Ok(Account { gid: group.gid(groups)?, ..account }),
            None => Ok(Account { groups: memberships(groups, name), ..account }),
        }
    }
    // ANCHOR_END: look_up
}

impl Name {
    fn is(&self, name: Option<&&str>, number: Option<&&str>) -> bool {
        match self {
            Name::Text(text) => name == Some(&text.as_str()),
            Name::Number(wanted) => number.and_then(|text| id(text)) == Some(*wanted),
        }
    }

    fn gid(&self, groups: &str) -> Result<u32> {
        match self {
            Name::Number(gid) => Ok(*gid),
            Name::Text(name) => entries(groups)
                .find(|entry| entry.first() == Some(&name.as_str()))
                .and_then(|entry| id(entry.get(2)?))
                .ok_or_else(|| unknown("group", name, "/etc/group")),
        }
    }
}

/// A number of the image's. To setresuid(2) the largest one means "leave it": as root,
/// that is.
fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id < u32::MAX)
}

fn entries(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

/// The groups that list this user as a member.
fn memberships(groups: &str, name: Option<&str>) -> Vec<u32> {
    let Some(name) = name else { return Vec::new() };
    let is_member = |entry: &Vec<&str>| {
        entry.get(3).is_some_and(|members| members.split(',').any(|it| it == name))
    };
    entries(groups).filter(is_member).filter_map(|entry| id(entry.get(2)?)).collect()
}

fn unknown(kind: &str, name: &str, file: &str) -> anyhow::Error {
    let failure = Failure::new(format_args!(
        "{kind} {name:?}: not in {file} of the root file system"
    ));
    failure
        .hint(format_args!("-u takes numbers, too: they need no entry in {file}"))
        .into()
}

/// An image may bring a file of any size: this is enough for 10,000 accounts.
const LARGEST: u64 = 1 << 20;

/// Reads a file of the image. One that is not there has no entries.
fn read(root: BorrowedFd<'_>, path: &str) -> Result<String> {
    let place = match inside::open(root, Path::new(path)) {
        Err(error) if kit::errno(&error) == Some(Errno::ENOENT) => {
            return Ok(String::new());
        }
        place => place?,
    };
    let what = || format!("{path} of the root file system");
    let kind = rustix::fs::FileType::from_raw_mode(
        rustix::fs::fstat(&place).with_context(what)?.st_mode,
    );
    // A link into /proc leads to files that are read for ever (kmsg), or tell of us
    // (environ).
    let is_proc = rustix::fs::fstatfs(&place).with_context(what)?.f_type
        == rustix::fs::PROC_SUPER_MAGIC;
    if is_proc || kind != rustix::fs::FileType::RegularFile {
        return Err(Failure::new(format_args!("{}: it is no file", what())).into());
    }
    // The very file that was looked at: proc(5), /proc/self/fd.
    let file = File::open(format!("/proc/self/fd/{}", place.as_raw_fd()))
        .with_context(what)?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).with_context(what)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Failure::new(format_args!("{}: larger than 1 MiB", what())).into());
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/srv/www:/bin/false\nbad:x\nnone:x:4294967295:0::/:\n";
    const GROUP: &str = "root:x:0:\nwww:x:33:\nmail:x:12:www,root\nnews:x:13:www\n";

    fn found(user: &str) -> Account {
        user.parse::<User>().unwrap().look_up(PASSWD, GROUP).unwrap()
    }

    #[test]
    fn a_name_has_its_ids_its_groups_and_its_home() {
        let home = Some("/srv/www".to_string());
        assert_eq!(
            found("www"),
            Account { uid: 33, gid: 33, groups: vec![12, 13], home: home.clone() }
        );
        assert_eq!(found("33"), found("www"), "by number it is the same");
        assert_eq!(
            found("www:mail"),
            Account { uid: 33, gid: 12, groups: vec![], home }
        );
    }

    #[test]
    fn a_number_needs_no_entry() {
        let home = Some("/".to_string());
        assert_eq!(
            found("1234"),
            Account { home: home.clone(), ..Account::of_id(1234, 0) }
        );
        assert_eq!(found("1234:99"), Account { home, ..Account::of_id(1234, 99) });
    }

    #[test]
    fn what_is_not_there_is_named() {
        for (user, named) in [
            ("nobody", "user \"nobody\""),
            ("www:staff", "group \"staff\""),
            ("bad", "has no ids"),
            ("none", "has no ids"),
        ] {
            let error =
                user.parse::<User>().unwrap().look_up(PASSWD, GROUP).unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
        }
    }

    #[test]
    fn what_is_no_user_is_refused() {
        for bad in ["", ":", "a:", ":b", "4294967295", "a:b:c", "99999999999", "a/b"] {
            assert!(bad.parse::<User>().is_err(), "{bad}");
        }
    }
}
