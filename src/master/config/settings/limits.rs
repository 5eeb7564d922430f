//! Settings: how long and how large the messages of clients may be.

macro_rules! rows {
    ([$next:path $(, $rest:path)*] $($before:tt)*) => { $next! { [$($rest),*] $($before)*
    Limits {
        /// Seconds a kept-alive connection may wait for its next request.
        ///
        /// 0 closes each connection after its response.
        keepalive: Seconds<0> = Seconds::nearest(2), ["--keep-alive"], "SECONDS", Reload;

        /// Seconds before a connection to a slow client is closed.
        ///
        /// The time to send the head of a request, and the longest pause in
        /// sending a body or in reading a response.
        client_timeout: Seconds<1> = Seconds::nearest(30),
            ["--client-timeout"], "SECONDS", Reload;

        /// The longest request line, in bytes; 0 = no limit below 1 MiB.
        ///
        /// A longer one is answered 414.
        limit_request_line: HeadLimit<1_048_576> = HeadLimit::nearest(4094),
            ["--limit-request-line"], "BYTES", Reload;

        /// The most header fields in a request; 0 = no limit below 32768.
        ///
        /// More are answered 431.
        limit_request_fields: HeadLimit<32_768> = HeadLimit::nearest(100),
            ["--limit-request-fields"], "NUMBER", Reload;

        /// The longest header field, in bytes; 0 = no limit below 1 MiB.
        ///
        /// A longer one is answered 431, and so are fields that together take
        /// more than 64 KiB, or more than this limit if that is larger. With
        /// Gunicorn, 0 stands for 8190.
        limit_request_field_size: HeadLimit<1_048_576> = HeadLimit::nearest(8190),
            ["--limit-request-field_size", "--limit-request-field-size"], "BYTES", Reload;

        /// The largest request body, in bytes or like `10M`; 0 = no limit.
        ///
        /// K, M and G are powers of 1024.
        limit_request_body: BodyLimit = BodyLimit::GIBIBYTE,
            ["--limit-request-body"], "BYTES", Reload;

        /// The directory for request bodies that are not kept in memory.
        ///
        /// A body of more than 128 KiB, and one in chunks that becomes so large,
        /// is stored in a file without a name while it is received. A relative
        /// path starts from `chdir`.
        tmp_upload_dir: Option<Directory> = None, ["--tmp-upload-dir"], "DIRECTORY", Reload,
            otherwise "$TMPDIR, else /tmp", example r#""/var/tmp""#;

        /// The most of an answer kept on disk for a slow client; 0 = no limit.
        ///
        /// In bytes, or with K, M or G. What a client has not taken is kept in
        /// 256 KiB of memory, then in a file in TMPDIR, so that the worker can go
        /// on. When the file is this large, the worker waits for the client.
        limit_response_buffer: BodyLimit = BodyLimit::GIBIBYTE,
            ["--limit-response-buffer"], "BYTES", Reload;
    }
    }};
}

pub(super) use rows;
