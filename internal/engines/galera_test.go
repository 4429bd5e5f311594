package engines

import "testing"

// What one node acknowledged is on the others, also when it is killed then; it comes back by itself.
func TestGalera(t *testing.T) {
	cluster := StartGalera(t, 3, Options{Args: []string{"--wsrep-sync-wait=15"}}) // for all sessions: reads wait for the others' writes
	write(t, cluster[0], "a")
	write(t, cluster[1], "b")
	if err := cluster[0].Kill(); err != nil {
		t.Fatal(err)
	}
	write(t, cluster[2], "c")
	if n := count(t, cluster[1]); n != 3 {
		t.Errorf("%d of 3 writes are on another node", n)
	}
	if err := cluster[0].Restart(); err != nil {
		t.Fatal(err)
	}
	write(t, cluster[0], "d")
	if n := count(t, cluster[2]); n != 4 {
		t.Errorf("%d of 4 writes are there once the killed node is back", n)
	}
}
