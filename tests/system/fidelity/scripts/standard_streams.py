import sys

for stream in (sys.stdin, sys.stdout, sys.stderr):
    print(stream.name, stream.mode, stream.encoding, stream.errors, stream.newlines)
    print(stream.line_buffering, stream.write_through, stream.fileno(), stream.isatty())
    print(type(stream.buffer).__name__, stream.seekable(), stream.readable(), stream.writable())
print(sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__, sys.stdin is sys.__stdin__)
for number in range(5):
    print("out", number)
    print("err", number, file=sys.stderr)
sys.stdout.write("no newline, ")
sys.stdout.buffer.write("bytes: ä\n".encode())
print("\udcff", file=sys.stderr)
print("\udcff")
