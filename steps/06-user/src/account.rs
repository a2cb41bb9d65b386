//! The user that the command runs as, looked up in the image's own /etc/passwd and
//! /etc/group (passwd(5), group(5)). The host's files are never used: a name in them
//! means another user, and the C library would load the host's NSS modules.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result};
use kit::{Failure, FailureKind};
use mount::inside;
use nix::errno::Errno;

/// A user as an option or an image names it: `UID[:GID]` or `NAME[:GROUP]`. A name and
/// a number may be mixed: `NAME:GID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    user: UserName,
    group: Option<UserName>,
}

/// A user or group, by name or by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UserName {
    Number(u32),
    Text(String),
}

/// The ids of a user, and its home directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user id.
    pub uid: u32,
    /// The primary group id.
    pub gid: u32,
    /// The supplementary group ids. [`Ids::become_user`](crate::Ids::become_user)
    /// refuses a group that is not mapped. [`Ids::account`](crate::Ids::account) leaves
    /// out such groups of the image.
    pub groups: Vec<u32>,
    /// The home directory, if it is known.
    pub home: Option<String>,
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

impl FromStr for UserName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_number =
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse::<u32>() {
            Ok(number) if is_number && number < u32::MAX => {
                Ok(UserName::Number(number))
            }
            _ if is_number => Err(format!("{text}: an id is at most 4294967294")),
            _ if text.is_empty() || text.contains([':', '/', '\n']) => Err(
                "UID[:GID] or NAME[:GROUP]: 1000, 1000:1000, nobody, nobody:nogroup"
                    .into(),
            ),
            _ => Ok(UserName::Text(text.into())),
        }
    }
}

impl Account {
    /// Makes an account of two ids, without other groups and without a home.
    pub fn of_id(uid: u32, gid: u32) -> Self {
        Account { uid, gid, groups: Vec::new(), home: None }
    }

    /// The home directory, if it is known.
    pub fn home(&self) -> Option<&str> {
        self.home.as_deref()
    }

    /// Looks up `user` in the root file system.
    ///
    /// # Errors
    /// When /etc/passwd or /etc/group of the image does not have the name.
    pub(crate) fn find(root: BorrowedFd<'_>, user: &User) -> Result<Self> {
        let passwd = read(root, "/etc/passwd")?;
        let groups = read(root, "/etc/group")?;
        user.look_up(&passwd, &groups)
    }
}

impl User {
    /// Makes a user of its id.
    pub fn of_id(uid: u32) -> Self {
        User { user: UserName::Number(uid), group: None }
    }

    // ANCHOR: look_up
    // Task 6.4: a name must have an entry in /etc/passwd; a number may have one.
    fn look_up(&self, passwd: &str, groups: &str) -> Result<Account> {
        let is_wanted = |entry: &Vec<&str>| self.user.is(entry.first(), entry.get(2));
        let account = match (&self.user, entries(passwd).find(is_wanted)) {
            (_, Some(entry)) => account_of(&entry, groups)?,
            // as in Docker: a number without an entry has group 0
            (UserName::Number(uid), None) => {
                Account { home: Some("/".into()), ..Account::of_id(*uid, 0) }
            }
            (UserName::Text(name), None) => {
                return Err(unknown("user", name, "/etc/passwd"));
            }
        };
        let Some(group) = &self.group else { return Ok(account) };
        // as in Docker: if a group is given, it is the only one
        Ok(Account { gid: group.gid(groups)?, groups: Vec::new(), ..account })
    }
    // ANCHOR_END: look_up
}

impl UserName {
    fn is(&self, name: Option<&&str>, number: Option<&&str>) -> bool {
        match self {
            UserName::Text(text) => name == Some(&text.as_str()),
            UserName::Number(wanted) => {
                number.and_then(|text| parse_id(text)) == Some(*wanted)
            }
        }
    }

    pub(crate) fn gid(&self, groups: &str) -> Result<u32> {
        match self {
            UserName::Number(gid) => Ok(*gid),
            UserName::Text(name) => entries(groups)
                .find(|entry| entry.first() == Some(&name.as_str()))
                .and_then(|entry| parse_id(entry.get(2)?))
                .ok_or_else(|| unknown("group", name, "/etc/group")),
        }
    }
}

/// Parses an id of the image. The largest number is no id: setresuid(2) takes it for
/// "leave it unchanged", and the command would stay root.
fn parse_id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id < u32::MAX)
}

/// Reads the account of an entry of /etc/passwd. As in Docker, without a home directory
/// it is `/`.
fn account_of(entry: &[&str], groups: &str) -> Result<Account> {
    let id = |at: usize| {
        let malformed = || {
            let line = entry.join(":");
            Failure::new(format_args!(
                "/etc/passwd of the root file system: {line:?} has no ids"
            ))
        };
        entry.get(at).and_then(|text| parse_id(text)).ok_or_else(malformed)
    };
    let home = entry.get(5).filter(|home| !home.is_empty()).unwrap_or(&"/");
    Ok(Account {
        uid: id(2)?,
        gid: id(3)?,
        groups: entry.first().map_or_else(Vec::new, |name| memberships(groups, name)),
        home: Some((*home).into()),
    })
}

fn entries(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

/// Finds the groups that list this user as a member.
fn memberships(groups: &str, name: &str) -> Vec<u32> {
    let is_member = |entry: &Vec<&str>| {
        entry.get(3).is_some_and(|members| members.split(',').any(|it| it == name))
    };
    entries(groups)
        .filter(is_member)
        .filter_map(|entry| parse_id(entry.get(2)?))
        .collect()
}

fn unknown(kind: &str, name: &str, file: &str) -> anyhow::Error {
    let failure = Failure::new(format_args!(
        "{kind} {name:?}: not in {file} of the root file system"
    ));
    failure
        .with_kind(FailureKind::NotFound)
        .hint(format_args!("-u takes numbers, too: they need no entry in {file}"))
        .into()
}

/// The size in bytes up to which a file of the image is read: enough for 10,000
/// accounts. The image may contain a file of any size.
const MAX_FILE_SIZE: u64 = 1 << 20;

/// Reads a file of the image. A missing file counts as an empty one.
pub(crate) fn read(root: BorrowedFd<'_>, path: &str) -> Result<String> {
    let opened = match inside::open(root, Path::new(path)) {
        Err(error) if kit::errno(&error) == Some(Errno::ENOENT) => {
            return Ok(String::new());
        }
        opened => opened?,
    };
    let what = || format!("{path} of the root file system");
    let kind = rustix::fs::FileType::from_raw_mode(
        rustix::fs::fstat(&opened).with_context(what)?.st_mode,
    );
    // A link into /proc may lead to a file that never ends (kmsg) or that belongs to
    // this process (environ).
    let is_proc = rustix::fs::fstatfs(&opened).with_context(what)?.f_type
        == rustix::fs::PROC_SUPER_MAGIC;
    if is_proc || kind != rustix::fs::FileType::RegularFile {
        return Err(Failure::new(format_args!("{}: not a regular file", what())).into());
    }
    // proc(5): /proc/self/fd opens the same file that was checked.
    let file = File::open(format!("/proc/self/fd/{}", opened.as_raw_fd()))
        .with_context(what)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes).with_context(what)?;
    if bytes.len() as u64 > MAX_FILE_SIZE {
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
    fn a_name_stands_for_its_ids_groups_and_home() {
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
    fn a_number_needs_no_entry_in_passwd() {
        let home = Some("/".to_string());
        assert_eq!(
            found("1234"),
            Account { home: home.clone(), ..Account::of_id(1234, 0) }
        );
        assert_eq!(found("1234:99"), Account { home, ..Account::of_id(1234, 99) });
    }

    #[test]
    fn an_error_names_the_user_or_group_that_is_missing() {
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
    fn a_user_or_group_that_the_image_does_not_have_is_not_found() {
        for user in ["nobody", "www:staff"] {
            let error =
                user.parse::<User>().unwrap().look_up(PASSWD, GROUP).unwrap_err();
            let kind = error.downcast_ref::<Failure>().unwrap().kind();
            assert_eq!(kind, FailureKind::NotFound, "{user}");
        }
    }

    #[test]
    fn a_text_that_names_no_user_is_refused() {
        for bad in ["", ":", "a:", ":b", "4294967295", "a:b:c", "99999999999", "a/b"] {
            assert!(bad.parse::<User>().is_err(), "{bad}");
        }
    }
}
