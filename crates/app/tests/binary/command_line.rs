//! Exit codes and messages of the command line where no service runs.

use std::fs;

use crate::support::{Site, bare, finish};

#[test]
fn ends_with_0_for_help_and_version() {
    for argument in ["--help", "--version"] {
        let (code, text, _) = finish(bare(&[argument]).output().unwrap());
        assert_eq!(code, 0);
        assert!(text.contains("zmon-provision") || text.contains("Z Monitor"), "{text}");
    }
}

#[test]
fn ends_with_2_for_a_command_line_that_it_does_not_understand() {
    let lines: [&[&str]; 6] = [
        &[],
        &["fly"],
        &["--set", "port", "serve"],
        &["status", "--destruction", "--receipt"],
        &["deprovision"],
        &["deprovision", "--pin-stdin", "--pin-file", "x"],
    ];
    for line in lines {
        let (code, _, errors) = finish(bare(line).output().unwrap());
        assert_eq!(code, 2, "{line:?}: {errors}");
    }
}

#[test]
fn takes_no_pin_from_the_command_line() {
    let (code, ..) = finish(bare(&["deprovision", "--pin", "314159"]).output().unwrap());
    assert_eq!(code, 2);
}

#[test]
fn ends_with_69_where_no_service_runs() {
    let site = Site::new();
    let lines: [&[&str]; 6] = [
        &["status"],
        &["status", "--receipt"],
        &["pair", "--no-wait"],
        &["cancel"],
        &["acknowledge"],
        &["status", "--socket", "/nonexistent/control.sock"],
    ];
    for line in lines {
        let (code, _, errors) = site.run(line);
        assert_eq!(code, 69, "{line:?}: {errors}");
        assert!(
            errors.contains("control.sock") && errors.contains("next: start it"),
            "{errors}"
        );
    }
}

#[test]
fn ends_with_78_and_every_fault_for_a_faulty_configuration() {
    let site = Site::new();
    let faulty = [
        "--set",
        "listener.port=0",
        "--set",
        "pairing.minutes=99",
        "--set",
        "lg.level=info",
    ];
    for command in ["serve", "check-config"] {
        let (code, _, errors) = site.run(&[&faulty[..], &[command]].concat());
        assert_eq!(code, 78, "{errors}");
        for fault in [
            "--set: listener.port: expected a whole number from 1 to 65535",
            "--set: pairing.minutes: expected a whole number from 1 to 10",
            "--set: lg.level: unknown key; did you mean log.level?",
        ] {
            assert!(errors.contains(fault), "{fault:?} is missing in {errors}");
        }
    }
}

#[test]
fn takes_every_setting_before_the_command_and_loses_none_after_it() {
    let site = Site::new();
    let settings = ["--set", "log.level=debug", "--set", "log.format=text"];
    let (code, text, errors) = site.run(&[&settings[..], &["check-config"]].concat());
    assert_eq!(code, 0, "{errors}");
    assert!(text.contains("log.format = \"text\" (--set)"), "{text}");
    assert!(text.contains("log.level = \"debug\" (--set)"), "{text}");
    let (code, ..) = site.run(&[&["check-config"], &settings[..]].concat());
    assert_eq!(code, 2, "a setting that would not count has to be refused");
}

#[test]
fn reads_the_environment() {
    let site = Site::new();
    let mut command = site.command(&["check-config"]);
    command.env("ZMON_LOG__LEVEL", "trace").env("HOME", "/");
    let (code, text, errors) = finish(command.output().unwrap());
    assert_eq!(code, 0, "{errors}");
    assert!(
        text.contains("log.level = \"trace\" (environment variable ZMON_LOG__LEVEL)"),
        "{text}"
    );
}

#[test]
fn needs_only_the_socket_to_talk_to_a_service() {
    let (code, _, errors) = finish(bare(&["status", "--socket", "/nonexistent"]).output().unwrap());
    assert_eq!(code, 69, "{errors}");
}

#[test]
fn sets_the_pin_once() {
    let site = Site::new();
    let set = |pin: &str| site.run_with_input(&["admin", "set-pin", "--pin-stdin"], pin);
    let (code, _, errors) = set("short\n");
    assert_eq!(code, 1);
    assert!(errors.contains("6 to 64"), "{errors}");
    let (code, text, errors) = set("314159\n");
    assert_eq!(code, 0, "{errors}");
    assert!(!format!("{text}{errors}").contains("314159"));
    let hash = fs::read_to_string(site.path("admin.pin")).unwrap();
    let (code, _, errors) = set("271828\n");
    assert_eq!(code, 1);
    assert!(errors.contains("is there already"), "{errors}");
    assert_eq!(fs::read_to_string(site.path("admin.pin")).unwrap(), hash);
}
