// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/jobs/record.hpp"

namespace postlude {

std::string_view to_string(job_state state) noexcept {
    switch (state) {
    case job_state::ready: return "ready";
    case job_state::claimed: return "claimed";
    case job_state::done: return "done";
    case job_state::dead: return "dead";
    case job_state::quarantined: return "quarantined";
    case job_state::cancelled: return "cancelled";
    }
    return "unknown";
}

}  // namespace postlude
