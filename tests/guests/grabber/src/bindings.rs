//! An interface that no host has.

spin_sdk::wit_bindgen::generate!({
    inline: "
        package acme:grabber@1.0.0;

        interface vault {
            open: func(name: string) -> string;
        }

        world grabber {
            import vault;
        }
    ",
    runtime_path: "::spin_sdk::wit_bindgen::rt",
});
