package dashboard

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func serveMux() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, handler := range Handlers() {
		mux.Handle(pattern, handler)
	}
	return mux
}

func get(t *testing.T, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	serveMux().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w
}

// Every file is served as what it is, and may load nothing from elsewhere.
func TestFiles(t *testing.T) {
	files := 0
	err := fs.WalkDir(embedded, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		path := "/dashboard/" + strings.TrimPrefix(name, "static/")
		w := get(t, path)
		if w.Code != 200 || w.Body.Len() == 0 {
			t.Errorf("%s: %d, %d bytes", path, w.Code, w.Body.Len())
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("%s: policy %q", path, csp)
		}
		return nil
	})
	if err != nil || files < 8 {
		t.Errorf("%d files, %v", files, err)
	}
	for path, want := range map[string]string{
		"/": "text/html", "/dashboard/app.css": "text/css", "/dashboard/app.js": "text/javascript", "/dashboard/uplot/LICENSE": "text/plain",
	} {
		if got := get(t, path).Header().Get("Content-Type"); !strings.HasPrefix(got, want) {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	for _, path := range []string{"/dashboard/", "/dashboard/nothing.js", "/dashboard/%2e%2e/dashboard.go", "/dashboard/app.exe", "/index.html"} {
		if w := get(t, path); w.Code != 404 {
			t.Errorf("%s: %d, want 404", path, w.Code)
		}
	}
}

// The page and its scripts name no other host, and what the page refers to is
// there.
func TestNothingFromElsewhere(t *testing.T) {
	refers := regexp.MustCompile(`(?:src|href)="([^"#]+)"|from "([^"]+)"`)
	for _, name := range []string{"index.html", "app.css", "app.js", "charts.js", "gateway.js", "problems.js", "text.js", "tools.js"} {
		content, err := fs.ReadFile(embedded, "static/"+name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), "http:"+"//") || strings.Contains(string(content), "https:"+"//") {
			t.Errorf("%s names another host", name)
		}
		for _, m := range refers.FindAllStringSubmatch(string(content), -1) {
			path := m[1] + strings.Replace(m[2], "./", "/dashboard/", 1)
			if !strings.HasPrefix(path, "data:") && get(t, path).Code != 200 {
				t.Errorf("%s refers to %s, which is not there", name, path)
			}
		}
	}
}
