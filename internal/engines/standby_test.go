package engines

import "testing"

func TestStandby(t *testing.T) {
	for _, e := range []Engine{Postgres, Postgres18} {
		t.Run(string(e), func(t *testing.T) {
			primary := Start(t, e, Options{})
			write(t, primary, "a")
			standby := StartStandby(t, primary)
			write(t, primary, "b")
			if err := primary.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := standby.Promote(); err != nil {
				t.Fatal(err)
			}
			write(t, standby, "c")
			if n := count(t, standby); n != 3 {
				t.Errorf("%d of 3 writes are on the promoted standby", n)
			}
		})
	}
}
