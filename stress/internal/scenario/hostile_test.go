package scenario

import (
	"testing"

	"interlock/stress/internal/arena"
)

// There is an account for each kind of call, and the vandal's words are those of the ground
// alone.
func TestHostileAccounts(t *testing.T) {
	h := hostileOf(newArena(t, hostilePlan(), 2, 1))
	if n := len(h.Ground.Calls()); n != hostileCalls {
		t.Errorf("%d kinds of calls, accounts for %d", n, hostileCalls)
	}
	words := arena.Words(&h.Ground)
	if words[0] = 7; arena.Word(&h.Ground, 0) != 7 {
		t.Error("the first word is not the ground's")
	}
	for i := range words {
		words[i] = ^uint64(0)
	}
	if h.Numbers[0].Load() != 0 || h.Damage.Load() != 0 {
		t.Error("they reach the accounts")
	}
}
