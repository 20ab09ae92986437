// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_HTTP_DETAIL_TEXT_HPP
#define POSTLUDE_HTTP_DETAIL_TEXT_HPP

#include <boost/asio/buffer.hpp>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace postlude::detail {

/// Characters in memory of an allocator, which do not move when this object does.
template <class Allocator>
class text {
    using allocator = typename std::allocator_traits<Allocator>::template rebind_alloc<char>;
    using traits = std::allocator_traits<allocator>;

public:
    explicit text(const Allocator& a) noexcept : allocator_(a) {}
    text(text&& other) noexcept
        : allocator_(std::move(other.allocator_)),
          data_(std::exchange(other.data_, nullptr)),
          size_(std::exchange(other.size_, 0)),
          capacity_(std::exchange(other.capacity_, 0)) {}
    text& operator=(text&&) = delete;
    ~text() { reset(); }

    char* data() noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    std::size_t room() const noexcept { return capacity_ - size_; }
    std::string_view view() const noexcept { return {data_, size_}; }

    /// Makes room for n more.
    void reserve(std::size_t n) {
        if (room() >= n) {
            return;
        }
        const auto capacity = std::max(size_ + n, 2 * capacity_);
        char* const data = traits::allocate(allocator_, capacity);
        const auto size = size_;
        if (size != 0) {
            std::memcpy(data, data_, size);
        }
        reset();
        data_ = data;
        size_ = size;
        capacity_ = capacity;
    }

    /// Appends what there is room for already.
    void append(std::string_view s) noexcept { append(s.data(), s.size()); }
    void append(const void* s, std::size_t n) noexcept {
        if (n != 0) {
            std::memcpy(data_ + size_, s, n);
            size_ += n;
        }
    }
    template <class Buffers>
    void append(const Buffers& buffers, std::size_t n) noexcept
        requires(boost::asio::is_const_buffer_sequence<Buffers>::value)
    {
        size_ += boost::asio::buffer_copy(boost::asio::buffer(data_ + size_, n), buffers);
    }
    void append(char c) noexcept { data_[size_++] = c; }

    /// Drops all from `size` on.
    void shrink(std::size_t size) noexcept { size_ = size; }

    /// Replaces the first n characters.
    void replace_front(std::size_t n, std::string_view with) {
        const auto tail = size_ - n;
        if (with.size() > n) {
            reserve(with.size() - n);
        }
        std::memmove(data_ + with.size(), data_ + n, tail);
        std::memcpy(data_, with.data(), with.size());
        size_ = with.size() + tail;
    }

    /// Gives the memory back.
    void reset() noexcept {
        if (data_) {
            traits::deallocate(allocator_, std::exchange(data_, nullptr), capacity_);
        }
        size_ = capacity_ = 0;
    }

private:
    [[no_unique_address]] allocator allocator_;
    char* data_ = nullptr;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

}  // namespace postlude::detail

#endif
