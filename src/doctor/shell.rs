//! The form of fixes: each is a line that a shell takes. What is no command stands behind a number sign.

use crate::visible::{is_hidden, visible};
use std::fmt::Write as _;

/// `text` as one word of a shell.
pub fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_@%+:,./-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    if !text.chars().any(is_hidden) {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    // A line end within quotes is no line end of a terminal into which the command is pasted.
    let mut word = "$'".to_owned();
    for c in text.chars() {
        match c {
            '\'' | '\\' => word.extend(['\\', c]),
            c if is_hidden(c) => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    // Writing to a string cannot fail.
                    let _ = write!(word, "\\x{byte:02x}");
                }
            }
            c => word.push(c),
        }
    }
    word + "'"
}

/// The words of `text`, each as one of a shell.
pub fn words(text: &str) -> String {
    text.split(' ').map(quoted).collect::<Vec<_>>().join(" ")
}

/// A remark beside a command, or in its place. Nothing in it is ever run.
pub fn remark(text: &str) -> String {
    format!("# {}", visible(text))
}

/// A command with a remark.
pub fn noted(command: impl AsRef<str>, text: &str) -> String {
    format!("{}  {}", command.as_ref(), remark(text))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::process::Command;

    /// The programs that fixes name.
    const PROGRAMS: [&str; 27] = [
        "apt",
        "chgrp",
        "chmod",
        "chown",
        "cygnet",
        "df",
        "dmesg",
        "echo",
        "getent",
        "gpasswd",
        "grep",
        "ip",
        "ip6tables",
        "ip6tables-legacy",
        "iptables",
        "iptables-legacy",
        "iptables-save",
        "journalctl",
        "modprobe",
        "nft",
        "ping",
        "ss",
        "sudo",
        "swanctl",
        "sysctl",
        "systemctl",
        "timedatectl",
    ];
    /// What harms tunnels that run.
    const HARMFUL: [&str; 11] = [
        "restart strongswan",
        "stop strongswan",
        "--load-all",
        "--load-conns",
        "flush",
        "disable --now",
        "--terminate",
        "--unload",
        "cygnet delete",
        "cygnet disable",
        "remove it",
    ];
    /// How that is said.
    const SAID: [&str; 4] = ["interrupt", "closes", "unloads", "removes them from charon"];

    /// Fails unless `fix` is a line that a shell takes, of known programs, which says it if it harms tunnels that run.
    #[track_caller]
    pub fn can_be_pasted(fix: &str) {
        assert!(!fix.chars().any(is_hidden) && !fix.is_empty(), "{fix:?}");
        let parsed = Command::new("bash").args(["-n", "-c", fix]).output().expect("bash runs");
        assert!(parsed.status.success(), "{fix}: {parsed:?}");
        for command in commands(fix) {
            let program = command.split(' ').next().unwrap_or_default();
            assert!(PROGRAMS.contains(&program), "{program:?} of {fix}");
        }
        let is_said = SAID.iter().any(|word| fix.contains(word));
        let harm: Vec<_> = HARMFUL.iter().filter(|harm| fix.contains(**harm)).collect();
        assert!(harm.is_empty() || is_said, "{fix} does not say that it harms tunnels ({harm:?})");
    }

    /// The commands of a line, without its remark.
    fn commands(fix: &str) -> Vec<String> {
        let (mut found, mut quote, mut before) = (vec![String::new()], false, ' ');
        for c in fix.chars() {
            if c == '\'' && before != '\\' {
                quote = !quote;
            }
            match c {
                '#' if !quote && before == ' ' => break,
                ';' | '&' if !quote => found.push(String::new()),
                c => found.last_mut().expect("one").push(c),
            }
            before = c;
        }
        found.iter().map(|command| command.trim().to_owned()).filter(|command| !command.is_empty()).collect()
    }

    #[test]
    fn hostile_words_stay_words() {
        for text in [
            "",
            "a b",
            "'; reboot #",
            "$(reboot)",
            "`reboot`",
            "a\nreboot",
            "\\",
            "-x",
            "\u{7f}'\\\r",
            "ä\u{9b}é",
            "~",
            "!!",
        ] {
            let line = format!("printf %s {}", quoted(text));
            let said = Command::new("bash").arg("-c").arg(&line).output().expect("bash runs");
            assert_eq!(String::from_utf8_lossy(&said.stdout), text, "{line}");
            assert!(!line.chars().any(is_hidden), "{line:?}");
        }
        can_be_pasted(&noted("echo x", "y\nreboot"));
        assert_eq!(commands("nft 'a; b'; ip x && echo y  # z; w"), ["nft 'a; b'", "ip x", "echo y"]);
    }

    #[test]
    #[should_panic(expected = "does not say that it harms tunnels")]
    fn harm_must_be_said() {
        can_be_pasted("systemctl restart strongswan");
    }
}
