"""The wire: Varlink over a Unix stream socket, without the socket.

`framing` cuts bytes into messages, `envelope` is what every message looks like, `user_data`,
`manager` and `service` are the interfaces as structs, `interface` turns those into Varlink's
interface descriptions, and `registry` lists them all.
"""
