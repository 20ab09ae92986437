// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include <boost/beast/src.hpp>
