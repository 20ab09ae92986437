// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_SUPPORT_CERTIFICATE_FILES_HPP
#define POSTLUDE_TESTS_SUPPORT_CERTIFICATE_FILES_HPP

#include "postlude/http/server_options.hpp"
#include "support/temporary_directory.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace test {

enum class key_kind { elliptic, rsa };

/// A certificate that has signed itself, and its key, in files.
class certificate_files {
public:
    explicit certificate_files(std::string_view name, key_kind kind = key_kind::elliptic) {
        write(name, kind);
    }

    /// Puts another one there. @param name what the certificate is for, its common name.
    void write(std::string_view name, key_kind kind = key_kind::elliptic) const {
        const key pair(kind == key_kind::elliptic ? EVP_EC_gen("P-256") : EVP_RSA_gen(2048));
        const certificate made(X509_new());
        auto* const cert = made.get();
        X509_set_version(cert, X509_VERSION_3);
        ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
        X509_gmtime_adj(X509_getm_notBefore(cert), -3'600);
        X509_gmtime_adj(X509_getm_notAfter(cert), 3'600);
        X509_set_pubkey(cert, pair.get());
        auto* const subject = X509_get_subject_name(cert);
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                   reinterpret_cast<const unsigned char*>(name.data()),
                                   static_cast<int>(name.size()), -1, 0);
        X509_set_issuer_name(cert, subject);
        if (X509_sign(cert, pair.get(), EVP_sha256()) == 0) {
            throw std::runtime_error("X509_sign");
        }
        const file chain_file(std::fopen(chain().c_str(), "w"));
        const file key_file(std::fopen(private_key().c_str(), "w"));
        PEM_write_X509(chain_file.get(), cert);
        PEM_write_PrivateKey(key_file.get(), pair.get(), nullptr, nullptr, 0, nullptr, nullptr);
    }

    /// What is no certificate.
    void spoil() const { std::ofstream(chain()) << "nonsense\n"; }

    std::string chain() const { return directory_.file("chain.pem"); }
    std::string private_key() const { return directory_.file("key.pem"); }
    postlude::http::tls_options options() const {
        return {.certificate_chain = chain(), .private_key = private_key()};
    }

private:
    template <auto f>
    struct by {
        template <class T>
        void operator()(T* p) const {
            f(p);
        }
    };
    using key = std::unique_ptr<EVP_PKEY, by<EVP_PKEY_free>>;
    using certificate = std::unique_ptr<X509, by<X509_free>>;
    using file = std::unique_ptr<FILE, by<std::fclose>>;

    temporary_directory directory_;
};

}  // namespace test

#endif
