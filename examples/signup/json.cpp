// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// Boost.JSON, compiled here, so that the demo needs no library of it.
#include <boost/json/src.hpp>
