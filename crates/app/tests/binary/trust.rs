//! What the device trusts: one anchor, or it does not start.

use std::fs;

use crate::support::Site;

#[test]
fn it_does_not_start_without_exactly_one_trust_anchor_and_says_why() {
    for (anchors, why) in [
        (&[][..], "none is set"),
        (&["hmac_key_file", "ed25519_public_key_file"], "both are set"),
    ] {
        let site = Site::new();
        let key = site.path("trust.key").display().to_string();
        let trust: String = anchors.iter().map(|name| format!("{name} = \"{key}\"\n")).collect();
        let toml = fs::read_to_string(site.path("config.toml")).unwrap();
        let (before, after) = toml.split_once("[trust]\n").unwrap();
        let (_, after) = after.split_once('\n').unwrap();
        fs::write(site.path("config.toml"), format!("{before}[trust]\n{trust}{after}")).unwrap();

        let (code, _, said) = site.run(&["serve"]);
        assert_eq!(code, 78, "{said}");
        let rule = "exactly one of trust.hmac_key_file and trust.ed25519_public_key_file";
        assert!(said.contains(rule) && said.contains(why), "{said}");
        assert!(!site.path("control.sock").exists() && !site.path("store").exists());
    }
}
