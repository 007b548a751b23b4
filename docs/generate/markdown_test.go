package main

import "testing"

func TestProse(t *testing.T) {
	tests := []struct{ text, want string }{
		{"Packets sent over SRD.", "Packets sent over SRD."},
		{"As for conntrack_allowance_exceeded.", "As for `conntrack_allowance_exceeded`."},
		{"Globs: tx_queue_stop, rx_*. The prefix queue_ may go.", "Globs: `tx_queue_stop`, `rx_*`. The prefix `queue_` may go."},
		{"in which *_allowance_exceeded grew", "in which `*_allowance_exceeded` grew"},
		{"(node_net_ethtool)", "(`node_net_ethtool`)"},
		{"the variable NODE_NAME", "the variable `NODE_NAME`"},
		{"a * b | <c>", `a \* b \| &lt;c>`},
		{"", ""},
	}
	for _, tt := range tests {
		if got := prose(tt.text); got != tt.want {
			t.Errorf("prose(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestWrap(t *testing.T) {
	const nine = "123456789 "
	ten := nine + nine + nine + nine + nine + nine + nine + nine + nine // 90 with the space at the end
	tests := []struct{ text, want string }{
		{"", ""},
		{"one\n two ", "one two"},
		{ten + "x", ten[:89] + "\nx"},
		{ten[:88] + " x", ten[:88] + " x"},
		{ten[:88] + " xy", ten[:88] + "\nxy"},
		{"ä" + ten[:87] + " x", "ä" + ten[:87] + " x"},
		{ten[:9] + "-" + ten[10:19] + "-" + ten[20:29], ten[:9] + "-" + ten[10:19] + "-" + ten[20:29]},
	}
	for _, tt := range tests {
		if got := wrap(tt.text); got != tt.want {
			t.Errorf("wrap(%q) =\n%q, want\n%q", tt.text, got, tt.want)
		}
	}
}

func TestFirstSentence(t *testing.T) {
	for text, want := range map[string]string{"One. Two. Three.": "One.", "Version 2.8 only.": "Version 2.8 only.", "": ""} {
		if got := firstSentence(text); got != want {
			t.Errorf("firstSentence(%q) = %q, want %q", text, got, want)
		}
	}
}
