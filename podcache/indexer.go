package podcache

import toolscache "k8s.io/client-go/tools/cache"

// An indexer returns pods where the wrapped one holds records. Only the informer writes, and it
// writes to the wrapped one.
type indexer struct{ toolscache.Indexer }

func (i indexer) List() []any { return expandedAll(i.Indexer.List()) }

func (i indexer) Get(o any) (item any, exists bool, err error) {
	item, exists, err = i.Indexer.Get(o)
	return expanded(item), exists, err
}

func (i indexer) GetByKey(key string) (item any, exists bool, err error) {
	item, exists, err = i.Indexer.GetByKey(key)
	return expanded(item), exists, err
}

func (i indexer) Index(name string, o any) ([]any, error) {
	all, err := i.Indexer.Index(name, o)
	return expandedAll(all), err
}

func (i indexer) ByIndex(name, value string) ([]any, error) {
	all, err := i.Indexer.ByIndex(name, value)
	return expandedAll(all), err
}

func (i indexer) AddIndexers(indexers toolscache.Indexers) error {
	return i.Indexer.AddIndexers(reading(indexers))
}

// reading lets index functions that know pods read records.
func reading(indexers toolscache.Indexers) toolscache.Indexers {
	all := make(toolscache.Indexers, len(indexers))
	for name, values := range indexers {
		all[name] = func(o any) ([]string, error) { return values(expanded(o)) }
	}
	return all
}
