// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// A precompiled header needs a source to belong to.
