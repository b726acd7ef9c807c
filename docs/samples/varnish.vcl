# /etc/varnish/default.vcl: a zone's cache in front of the global server.
#
# varnishd -a 127.0.0.1:6081 -f /etc/varnish/default.vcl -p default_ttl=0 \
#     -s file,/var/lib/varnish/images,400G
vcl 4.1;

backend global {
    .host = "glance.example.com";
    .port = "80";
    .connect_timeout = 10s;
    .first_byte_timeout = 60s;
    .between_bytes_timeout = 60s;
}

sub vcl_recv {
    if (req.method != "GET" && req.method != "HEAD") {
        return (synth(405));
    }
    # Nothing but the address selects the bytes of an image.
    unset req.http.Accept-Encoding;
    unset req.http.Cookie;
}

sub vcl_miss {
    # Varnish would get the whole image to answer this.
    if (req.method == "HEAD") {
        return (pass);
    }
}

sub vcl_backend_response {
    # A copy is kept when it is no longer fresh: the next reader makes Varnish ask with
    # If-None-Match, and a 304 has no bytes. While the server is away, it is sent as is.
    set beresp.grace = 10m;
    set beresp.keep = 30d;
    if (beresp.status >= 500) {
        if (bereq.is_bgfetch) {
            return (abandon);
        }
        set beresp.uncacheable = true;
    }
}
