//! An application that says one word, for stories in which its code changes.

use crate::harness::{Running, Server};

/// An application that says one word.
pub(super) fn shop(word: &str) -> String {
    format!(
        "def app(environ, start_response):\n    start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
         return [b'{word}']\n"
    )
}

/// An application that loads when the test has made a file `NAME.go`, and says
/// its word.
pub(super) fn shop_that_waits(word: &str) -> String {
    format!(
        "import slow\nslow.app({{'PATH_INFO': '/until/{word}.go'}}, lambda *_: None)\n{}",
        shop(word)
    )
}

pub(super) fn selling(word: &str) -> Server {
    Server::running("shop:app")
        .workers(2)
        .file("shop.py", &shop(word))
}

#[track_caller]
pub(super) fn assert_all_say(server: &Running, word: &str) {
    for _ in 0..20 {
        assert_eq!(server.get("/").text(), word);
    }
}
