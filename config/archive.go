package config

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The stores in which an archive can be.
const (
	// PostgreSQL is a database of the team's.
	PostgreSQL = "PostgreSQL"
	// SQLite is a file.
	SQLite = "SQLite"
)

// Archive configures the store of what has left the cluster, and `epitaph archive`, which fills it.
// It is off by default.
type Archive struct {
	// Enabled says that `epitaph archive` runs: it removes what is too old or too many once that is
	// archived, and the manager only what is beyond HoldFactor.
	Enabled bool `json:"enabled"`
	// Cluster names this cluster among those that share the store. It stays what it is for ever.
	Cluster string `json:"cluster" validate:"required,max=253"`
	// Store is PostgreSQL or SQLite.
	Store string `json:"store" validate:"oneof=PostgreSQL SQLite"`
	// DSNFile is a file with the connection string of PostgreSQL.
	DSNFile string `json:"dsnFile" validate:"required"`
	// Path is the file of SQLite.
	Path string `json:"path" validate:"required"`
	// MaxAge is how long records stay in the archive; a month goes as a whole.
	MaxAge metav1.Duration `json:"maxAge" validate:"mindur=744h,maxdur=876000h"`
	// HoldFactor bounds how long the cluster keeps what is not archived: that many times the
	// retention, by age and by number. Beyond it the manager removes records to protect etcd.
	HoldFactor int `json:"holdFactor" validate:"min=1,max=100"`
	// Serve answers questions by HTTPS, to those who may read such records in this cluster.
	Serve bool `json:"serve"`
	// Address is the "host:port" at which it does; CertDir has tls.crt and tls.key for it.
	Address string `json:"address" validate:"required,hostport"`
	CertDir string `json:"certDir" validate:"required"`
	// Receivers are told by HTTP what is archived.
	Receivers []Receiver `json:"receivers,omitempty" validate:"max=16,dive"`
	// ReceiversDir has a folder for each receiver.
	ReceiversDir string `json:"receiversDir" validate:"required"`
	// HealthAddress and MetricsAddress are "host:port".
	HealthAddress  string `json:"healthAddress" validate:"required,hostport"`
	MetricsAddress string `json:"metricsAddress" validate:"required,hostport"`
}

func defaultArchive() Archive {
	const year = 365 * 24 * time.Hour
	return Archive{
		Cluster: "default", Store: PostgreSQL, DSNFile: "/var/run/epitaph/archive/dsn",
		Path:   "/var/lib/epitaph/archive/archive.db",
		MaxAge: metav1.Duration{Duration: 3 * year}, HoldFactor: 4,
		Address: ":8446", CertDir: "/var/run/epitaph/archive-tls",
		ReceiversDir:  "/var/run/epitaph/receivers",
		HealthAddress: ":8082", MetricsAddress: ":8083",
	}
}

// Held is the retention of the manager while an archive is on.
func (r Retention) Held(by Archive) Retention {
	if !by.Enabled {
		return r
	}
	factor := by.HoldFactor
	r.Pods.MaxAge.Duration *= time.Duration(factor)
	r.Pods.MaxPerNamespace *= factor
	r.Nodes.MaxAge.Duration *= time.Duration(factor)
	r.Nodes.Max *= factor
	return r
}
