package scim

import "testing"

func BenchmarkRead(b *testing.B) {
	b.SetBytes(int64(len(alice)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := User.Read([]byte(alice)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	r := read(b, User, alice)
	for _, s := range []string{`userName eq "alice@example.com"`, `emails[type eq "work" and value co "example"] and active eq true`} {
		f, err := ParseFilter(User, s)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(s, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !f.Match(r) {
					b.Fatal("no match")
				}
			}
		})
	}
}

func BenchmarkPatch(b *testing.B) {
	r := read(b, User, alice)
	ops, err := ReadPatch([]byte(`{"Operations":[{"op":"replace","path":"active","value":false},{"op":"replace","path":"emails[type eq \"work\"].value","value":"b@c"}]}`))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if changed, err := User.Patch(Clone(r), ops); err != nil || !changed {
			b.Fatal(changed, err)
		}
	}
}
